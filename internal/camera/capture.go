package camera

import (
	"errors"
	"fmt"
	"os"
	"time"

	"gocv.io/x/gocv"
)

// Timeouts of OpenCV's FFmpeg and GStreamer backends, which GoCV has no names for.
const (
	openTimeoutMsec gocv.VideoCaptureProperties = 53
	readTimeoutMsec gocv.VideoCaptureProperties = 54
)

var errClosed = errors.New("the camera is closed")

// open opens a live source by the one backend that its kind names; OpenCV is never left to choose.
func open(c Config) (*gocv.VideoCapture, error) {
	timeouts := []gocv.VideoCaptureProperties{
		openTimeoutMsec, gocv.VideoCaptureProperties(5 * time.Second / time.Millisecond),
		readTimeoutMsec, gocv.VideoCaptureProperties(readTimeout / time.Millisecond),
	}
	kind, rest := c.split()
	var capture *gocv.VideoCapture
	var err error
	switch kind {
	case kindV4L2:
		if _, err := os.Stat(rest); err != nil {
			return nil, fmt.Errorf("there is no device %s", rest)
		}
		capture, err = gocv.VideoCaptureFileWithAPI(rest, gocv.VideoCaptureV4L2)
	case kindGStreamer:
		capture, err = gocv.VideoCaptureFileWithAPI(rest, gocv.VideoCaptureGstreamer)
	default:
		capture, err = gocv.VideoCaptureFileWithAPIParams(c.Source, gocv.VideoCaptureFFmpeg, timeouts)
	}
	if err != nil || !capture.IsOpened() {
		capture.Close()
		return nil, fmt.Errorf("%s cannot be opened", redacted(c.Source))
	}
	if kind == kindV4L2 {
		set := func(property gocv.VideoCaptureProperties, value float64) {
			if value > 0 {
				capture.Set(property, value)
			}
		}
		set(gocv.VideoCaptureFrameWidth, float64(c.Width))
		set(gocv.VideoCaptureFrameHeight, float64(c.Height))
		set(gocv.VideoCaptureFPS, c.FPS)
		set(gocv.VideoCaptureBufferSize, 1)
		if got := [2]int{int(capture.Get(gocv.VideoCaptureFrameWidth)), int(capture.Get(gocv.VideoCaptureFrameHeight))}; c.Width > 0 && got != [2]int{c.Width, c.Height} {
			capture.Close()
			return nil, fmt.Errorf("the camera gives %d x %d where %d x %d is asked for", got[0], got[1], c.Width, c.Height)
		}
	}
	return capture, nil
}
