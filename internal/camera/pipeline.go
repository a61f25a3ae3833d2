package camera

import (
	"slices"
	"strings"
)

// prompt are the elements of GStreamer that hand on each frame before the next one comes. Whatever is not among them may hold frames
// back evenly, which cannot be seen from here: a jitter buffer, a decoder, a queue.
var prompt = []string{
	"aravissrc", "v4l2src", "videotestsrc",
	"bayer2rgb", "capsfilter", "videoconvert", "videoconvertscale", "videocrop", "videoflip", "videoscale",
	"appsink",
}

// holdsBack is the first part of a pipeline that is not known to hand on each frame at once; "" where there is none.
func holdsBack(pipeline string) string {
	begins := true // an element, or what it is asked to give
	for word := range strings.FieldsSeq(pipeline) {
		if word == "!" {
			begins = true
			continue
		}
		format := strings.HasPrefix(word, "video/") || strings.HasPrefix(word, "image/")
		if begins && !format && !slices.Contains(prompt, word) || !begins && !strings.Contains(word, "=") {
			return word
		}
		begins = false
	}
	return ""
}

// givesNewest tells whether a frame that nobody has read gives way to the next one, so that none waits on the way.
func givesNewest(pipeline string) bool {
	words := strings.Fields(pipeline)
	return holdsBack(pipeline) == "" && slices.Contains(words, "drop=true") && slices.Contains(words, "max-buffers=1")
}
