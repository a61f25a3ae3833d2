package part

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
)

// Frame is one picture of the part in view: 8-bit BGR, interleaved, top row first, without padding,
// so len(Pixels) == Height*Width*3. A frame is never changed after the camera has handed it over.
type Frame struct {
	Camera    string
	Pixels    []byte
	Width     int
	Height    int
	ExposedAt time.Time // no part of the exposure began before this instant
	Source    string    // the file it came from; "" for a live camera
	SHA256    string    // Digest in hex, worked out once by the camera
}

// Digest is the SHA-256 of the size and the pixels: two frames with the same digest are the same picture.
func (f Frame) Digest() [sha256.Size]byte {
	h := sha256.New()
	var size [16]byte
	binary.LittleEndian.PutUint64(size[:8], uint64(f.Width))
	binary.LittleEndian.PutUint64(size[8:], uint64(f.Height))
	h.Write(size[:])
	h.Write(f.Pixels)
	return [sha256.Size]byte(h.Sum(nil))
}

// Quality is what the picture itself is like, before anything is scored. The unit of Brightness
// and Spread is the grey level, 0 to 255.
type Quality struct {
	Brightness float64 // mean grey level
	Spread     float64 // standard deviation of the grey level
	Sharpness  float64 // variance of the Laplacian
}

// Map is a grid of patch scores at the network's own resolution, row by row from the top.
type Map struct {
	Width, Height int
	Cells         []float32
}

// Lift raises every cell by so much.
func (m Map) Lift(by float64) {
	for i := range m.Cells {
		m.Cells[i] += float32(by)
	}
}

// Lifted is a copy with every cell raised by so much.
func (m Map) Lifted(by float64) Map {
	m.Cells = slices.Clone(m.Cells)
	m.Lift(by)
	return m
}

// Finding is what inspection says of one frame. Reason is None where the picture could be scored
// and the score is below the threshold, Anomaly where it is not, and the picture's own reason where
// the picture was refused, in which case Score is NaN and Map is empty.
type Finding struct {
	Recipe Recipe
	Score  float64
	// Appearance is the part of Score, and of every cell of Map, that the picture adds as a whole. What is read back from a record
	// has it in Detail alone.
	Appearance float64
	Threshold  float64
	Map        Map // of what each place scores, in units of Score, for people to look at
	Patches    Map // of the distances of patches where the score is of averaged or smoothed ones; empty where Map is of them
	Quality    Quality
	Reason     Reason
	Detail     string // figures behind the reason, for people
	Zone       string // the zone of the picture that Score and Threshold belong to; "" where the recipe has none
	Device     string // that computed it
	Review     bool   // passed, but so close to the threshold that a person should look at it later
	Stages     []Stage
}

// Recipe names exactly what decided: the product's name, the version, and the hash over everything
// in the version's folder.
type Recipe struct {
	Name     string
	Version  int
	Hash     string // SHA-256, hex
	Backbone string // SHA-256 of the network's file, hex
}

// Record is the row of one trigger (or of one gap in the PLC's counter). It is written once and never
// changed; what became of the result on its way to the PLC follows as a Delivery.
type Record struct {
	Station   string
	Trigger   Trigger
	Missed    uint32        // parts that went by unseen, where Reason is MissedTrigger
	Mode      string        // auto, shadow, bypass, maintenance
	Cycle     time.Duration // within which the PLC had to have the verdict
	Verdict   Verdict
	Reason    Reason
	Detail    string
	Finding   *Finding // nil where nothing was inspected
	Digest    string   // SHA-256 of the frame, hex; "" where there was no frame
	Recovered bool     // rebuilt from the PLC's own tags after a crash
	Software  string
}
