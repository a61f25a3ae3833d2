package recipe

// Challenge is a picture of a known defect that every version of a recipe must reject.
type Challenge struct {
	Name    string
	SHA256  string // of the file
	Picture []byte // PNG
	Kind    string // of defect, or the zone that it lies in; may be empty
}
