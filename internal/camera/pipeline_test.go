package camera

import (
	"testing"
	"time"

	"linectl/internal/setting"
)

// TestPipelineThatMayHoldBack: where frames may be held back evenly the latency has to be measured, and where they may wait unread
// all delay counts.
func TestPipelineThatMayHoldBack(t *testing.T) {
	const h264 = "rtspsrc location=rtsp://c/1 ! rtph264depay ! avdec_h264 ! videoconvert ! appsink drop=true max-buffers=1"
	for _, c := range []struct {
		pipeline string
		unknown  string
		queues   bool
	}{
		{examplePipeline, "", false},
		{"aravissrc camera-name=Firm-1 ! video/x-bayer, width=640, height=480 ! bayer2rgb ! videoconvert ! appsink max-buffers=1 drop=true", "", false},
		{"v4l2src device=/dev/video0 ! videoconvert ! video/x-raw,format=BGR ! appsink", "", true},
		{"videotestsrc ! appsink drop=true", "", true},
		{h264, "rtspsrc", true},
		{"rtsp://c/1 ! decodebin ! appsink", "rtsp://c/1", true},
		{"aravissrc ! queue ! videoconvert ! appsink drop=true max-buffers=1", "queue", true},
		{"aravissrc!videoconvert!appsink", "aravissrc!videoconvert!appsink", true},
		{"videotestsrc ! appsink rtspsrc location=rtsp://c/1", "rtspsrc", true},
	} {
		config := Config{Name: "top", Source: "gstreamer:" + c.pipeline, Timeout: setting.Duration(time.Second)}
		if got := holdsBack(c.pipeline); got != c.unknown {
			t.Errorf("%s: %q may hold frames back, want %q", c.pipeline, got, c.unknown)
		}
		if problems := config.Check(); len(problems) > 0 != (c.unknown != "") || c.unknown != "" && problems[0].Key != "latency" {
			t.Errorf("%s: mistakes are %v", c.pipeline, problems)
		}
		if got := config.queues(); got != c.queues {
			t.Errorf("%s: queues is %v", c.pipeline, got)
		}
		config.Latency = setting.Duration(3 * time.Second)
		if problems := config.Check(); problems != nil {
			t.Errorf("%s with a latency: %v", c.pipeline, problems)
		}
	}
	for source, queues := range map[string]bool{"rtsp://c/1": true, "http://c/1": true, "v4l2:/dev/video0": false} {
		if got := (Config{Source: source}).queues(); got != queues {
			t.Errorf("%s: queues is %v", source, got)
		}
	}
}
