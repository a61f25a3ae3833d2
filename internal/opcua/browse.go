package opcua

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// Variable is a variable that was found on the PLC.
type Variable struct {
	Name string `json:"name"` // as the PLC's engineer knows it
	Node string `json:"node"` // with the namespace's URI, as a config wants it
}

const (
	mostBrowsed = 20_000 // nodes; a PLC can have a million
	deepest     = 8      // levels below Objects
)

// browse lists the variables below the Objects folder, level by level, without those of the standard's
// own namespace. It ends early where there are very many.
func (s *session) browse(ctx context.Context) ([]Variable, error) {
	namespaces := s.client.Namespaces()
	var found []Variable
	seen := map[string]bool{}
	level := []*ua.NodeID{ua.NewNumericNodeID(0, id.ObjectsFolder)}
	for depth := 0; depth < deepest && len(level) > 0 && len(seen) < mostBrowsed; depth++ {
		var next []*ua.NodeID
		for few := range slices.Chunk(level, s.most) {
			references, err := s.references(ctx, few)
			if err != nil {
				return found, err
			}
			for _, r := range references {
				if r.NodeID == nil || r.NodeID.NodeID == nil || seen[r.NodeID.NodeID.String()] || len(seen) >= mostBrowsed {
					continue
				}
				node := r.NodeID.NodeID
				seen[node.String()] = true
				ns := int(node.Namespace())
				if ns == 0 || ns >= len(namespaces) {
					continue
				}
				next = append(next, node)
				if r.NodeClass == ua.NodeClassVariable {
					_, identifier, _ := strings.Cut(node.String(), ";")
					found = append(found, Variable{r.BrowseName.Name, "nsu=" + namespaces[ns] + ";" + identifier})
				}
			}
		}
		level = next
	}
	return found, nil
}

// references are the forward references of some nodes, all pages of them.
func (s *session) references(ctx context.Context, nodes []*ua.NodeID) ([]*ua.ReferenceDescription, error) {
	request := &ua.BrowseRequest{View: &ua.ViewDescription{ViewID: ua.NewTwoByteNodeID(0)}, RequestedMaxReferencesPerNode: 1000}
	for _, n := range nodes {
		request.NodesToBrowse = append(request.NodesToBrowse, &ua.BrowseDescription{
			NodeID:          n,
			BrowseDirection: ua.BrowseDirectionForward,
			ReferenceTypeID: ua.NewNumericNodeID(0, id.HierarchicalReferences),
			IncludeSubtypes: true,
			ResultMask:      uint32(ua.BrowseResultMaskAll),
		})
	}
	response, err := s.client.Browse(ctx, request)
	if err != nil {
		return nil, err
	}
	results := response.Results
	var all []*ua.ReferenceDescription
	for {
		var more [][]byte
		for _, r := range results {
			all = append(all, r.References...)
			if len(r.ContinuationPoint) > 0 {
				more = append(more, r.ContinuationPoint)
			}
		}
		if len(more) == 0 || len(all) > mostBrowsed {
			return all, nil
		}
		next, err := s.client.BrowseNext(ctx, &ua.BrowseNextRequest{ContinuationPoints: more})
		if err != nil {
			return all, err
		}
		results = next.Results
	}
}

// bare leaves letters and digits of a name, in lower case: "TriggerSeq" and trigger_seq are alike.
func bare(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// lastName is what stands behind the last dot of a name.
func lastName(name string) string {
	return bare(name[strings.LastIndexByte(strings.TrimRight(name, `."`), '.')+1:])
}

// nearest are the variables whose names are most like the wanted one, best first, three at most.
func nearest(wanted string, there []Variable) []Variable {
	wanted = lastName(identifierOf(wanted))
	type likely struct {
		Variable
		far int
	}
	var all []likely
	for _, v := range there {
		if far := edits(wanted, lastName(v.Name)); far <= max(2, len(wanted)/3) {
			all = append(all, likely{v, far})
		}
	}
	slices.SortStableFunc(all, func(a, b likely) int { return a.far - b.far })
	var best []Variable
	for _, l := range all[:min(3, len(all))] {
		best = append(best, l.Variable)
	}
	return best
}

func likeness(wanted string, there []Variable) string {
	var names []string
	for _, v := range nearest(wanted, there) {
		names = append(names, v.Node)
	}
	if len(names) == 0 {
		return ""
	}
	return "; there is " + orList(names)
}

// identifierOf is the identifier of a node id in text.
func identifierOf(node string) string {
	if i := strings.LastIndex(node, ";s="); i >= 0 {
		return node[i+3:]
	}
	return node
}

// edits is how many letters have to be put in, taken out or replaced to make b out of a (Levenshtein 1966).
func edits(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range from {
		corner := row[0]
		row[0] = i + 1
		for j, y := range to {
			cost := 1
			if x == y {
				cost = 0
			}
			corner, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, corner+cost)
		}
	}
	return row[len(to)]
}
