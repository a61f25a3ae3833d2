package camera

import (
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"linectl/internal/setting"
)

// Config is one [[camera]] section.
type Config struct {
	// Name of the camera, as it stands in records: letters, digits, - and _.
	Name string `toml:"name"`
	// Source of the pictures: v4l2:/dev/video0, rtsp://…, http://…, gstreamer:PIPELINE, drop:FOLDER or folder:FOLDER.
	Source string `toml:"source"`
	// Timeout is how long one grab may take.
	Timeout setting.Duration `toml:"timeout"`
	// Latency is the longest time between the beginning of an exposure and the picture's arrival here; it decides whether a picture is newer than its trigger. 0 means two frame intervals for a live camera, and for a stream of compressed video three more and one for each processor, which its decoder may hold back; a GStreamer pipeline needs a measured one unless nothing in it can hold frames back; for drop that the arrival of the file counts.
	Latency setting.Duration `toml:"latency"`
	// Width and height to ask a V4L2 camera for; 0 leaves the choice to it.
	Width  int `toml:"width"`
	Height int `toml:"height"`
	// FPS is the rate of a live camera: V4L2 is asked for it; of a stream it must be known to tell a live frame from one that was held up on the way. 0 takes what the stream says.
	FPS float64 `toml:"fps"`
	// DeleteTaken removes the pictures of a drop folder once they are taken.
	DeleteTaken bool `toml:"delete_taken"`
}

// DefaultConfig gives a grab a second.
func DefaultConfig() Config { return Config{Timeout: setting.Duration(time.Second)} }

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// The kinds of source, as they begin.
const (
	kindFolder    = "folder"
	kindDrop      = "drop"
	kindV4L2      = "v4l2"
	kindGStreamer = "gstreamer"
)

var streams = []string{"rtsp", "rtsps", "http", "https"}

const examplePipeline = "aravissrc ! videoconvert ! appsink drop=true max-buffers=1"

// split takes a source apart into its kind and what follows the colon.
func (c Config) split() (kind, rest string) {
	kind, rest, _ = strings.Cut(c.Source, ":")
	return kind, rest
}

// queues tells whether frames that are not read wait on the way, however many there are.
func (c Config) queues() bool {
	kind, rest := c.split()
	return slices.Contains(streams, kind) || kind == kindGStreamer && !givesNewest(rest)
}

// Check reports every mistake in the section.
func (c Config) Check() []setting.Problem {
	var problems []setting.Problem
	wrong := func(key, format string, args ...any) {
		problems = append(problems, setting.Problemf(key, format, args...))
	}
	if !nameForm.MatchString(c.Name) {
		wrong("name", "%q is not a name; use 1 to 64 letters, digits, - and _", c.Name)
	}
	kind, rest := c.split()
	switch {
	case c.Source == "":
		wrong("source", "is empty; "+sourceForms)
	case kind == kindFolder || kind == kindDrop:
		if !filepath.IsAbs(rest) {
			wrong("source", "%q is not an absolute path; a daemon has no folder of its own to start from", rest)
		}
	case kind == kindV4L2:
		if !strings.HasPrefix(rest, "/dev/") {
			wrong("source", "%q is not a device; write v4l2:/dev/video0, or better a name below /dev/v4l/by-id, which stays the same", rest)
		}
	case kind == kindGStreamer:
		if !strings.Contains(rest, "appsink") {
			wrong("source", "the pipeline must end in appsink; for example gstreamer:%s", examplePipeline)
		} else if element := holdsBack(redacted(rest)); element != "" && c.Latency == 0 {
			wrong("latency", "0s is allowed where nothing in the pipeline can hold frames back, as in %s; of %q that is not known: measure the latency (docs/first-line.md) and set it", examplePipeline, element)
		}
	case slices.Contains(streams, kind):
		if u, err := url.Parse(c.Source); err != nil || u.Host == "" {
			wrong("source", "%q is not a URL with a host", redacted(c.Source))
		}
	default:
		wrong("source", "%q is of no known kind; "+sourceForms, redacted(c.Source))
	}
	if c.Timeout <= 0 || c.Timeout.Std() > time.Minute {
		wrong("timeout", "%s is out of range; allowed is more than 0s, up to 1m", c.Timeout)
	}
	if c.Latency < 0 || c.Latency.Std() > 10*time.Second {
		wrong("latency", "%s is out of range; allowed is 0s to 10s", c.Latency)
	}
	if c.Width < 0 || c.Width > 32768 || c.Height < 0 || c.Height > 32768 {
		wrong("width", "%d x %d is out of range; allowed is 0 to 32768", c.Width, c.Height)
	} else if (c.Width == 0) != (c.Height == 0) {
		wrong("width", "width and height belong together; set both or none")
	}
	if !(c.FPS >= 0 && c.FPS <= 1000) {
		wrong("fps", "%g is out of range; allowed is 0 to 1000", c.FPS)
	}
	if c.DeleteTaken && kind != kindDrop {
		wrong("delete_taken", "only pictures of a drop folder can be deleted; source is %s", kind)
	}
	return problems
}

const sourceForms = "write v4l2:/dev/video0, rtsp://…, http://…, gstreamer:PIPELINE, drop:FOLDER or folder:FOLDER"

// Shown is the source as it may be shown: without the passwords that it may hold.
func (c Config) Shown() string { return redacted(c.Source) }

// What stands for a password in a URL, also in one that is malformed or part of a pipeline, and in what GStreamer's
// elements are told.
var (
	secretOfURL      = regexp.MustCompile(`(://[^\s:@/]*:)\S*@`)
	secretOfPipeline = regexp.MustCompile(`(?i)((?:user-pw|passw(?:or)?d)\s*=\s*)(?:"[^"]*"|\S+)`)
)

// redacted is a source without passwords: it goes to logs and messages.
func redacted(source string) string {
	source = secretOfURL.ReplaceAllString(source, "${1}xxxxx@")
	return secretOfPipeline.ReplaceAllString(source, "${1}xxxxx")
}
