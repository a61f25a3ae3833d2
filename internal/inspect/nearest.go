package inspect

import "linectl/internal/inspect/patchcore"

// Nearest is the row of the recipe's memory bank that is nearest to a cell of the map of the last picture that
// Inspect judged, and its distance. Not ok: the recipe has no memory bank.
func (i *Inspector) Nearest(cell int) (row int, distance float64, ok bool) {
	i.busy.Lock()
	defer i.busy.Unlock()
	s, ok := i.scorer.(*patchcore.Scorer)
	if !ok {
		return 0, 0, false
	}
	row, distance = s.Nearest(cell)
	return row, distance, true
}
