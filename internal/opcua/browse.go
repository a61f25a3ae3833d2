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

	below string // the names on the way to it, from Objects on
}

const (
	mostBrowsed = 20_000 // nodes; a PLC can have a million
	deepest     = 12     // levels below Objects; CODESYS has seven above a variable
)

// browse lists the variables below the Objects folder, level by level, without those of the standard's
// own namespace. It ends early where there are very many.
func (s *session) browse(ctx context.Context) ([]Variable, error) {
	namespaces := s.client.Namespaces()
	var found []Variable
	objects := ua.NewNumericNodeID(0, id.ObjectsFolder)
	seen := map[string]string{objects.String(): ""} // the names on the way to each node
	level := []*ua.NodeID{objects}
	for depth := 0; depth < deepest && len(level) > 0 && len(seen) < mostBrowsed; depth++ {
		var next []*ua.NodeID
		for few := range slices.Chunk(level, s.most) {
			references, err := s.references(ctx, few)
			if err != nil {
				return found, err
			}
			for _, r := range references {
				if r.ReferenceDescription == nil || r.NodeID == nil || r.NodeID.NodeID == nil || r.BrowseName == nil || len(seen) >= mostBrowsed {
					continue
				}
				node, below := r.NodeID.NodeID, seen[r.from.String()]
				if _, known := seen[node.String()]; known {
					continue
				}
				seen[node.String()] = below + "/" + r.BrowseName.Name
				if ns := int(node.Namespace()); ns == 0 || ns >= len(namespaces) {
					continue
				}
				next = append(next, node)
				if r.NodeClass == ua.NodeClassVariable {
					found = append(found, Variable{r.BrowseName.Name, textOf(node, namespaces), below})
				}
			}
		}
		level = next
	}
	return found, nil
}

// reference is one of a node.
type reference struct {
	*ua.ReferenceDescription
	from *ua.NodeID
}

// references are the forward references of some nodes, all pages of them.
func (s *session) references(ctx context.Context, nodes []*ua.NodeID) ([]reference, error) {
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
	var all []reference
	for {
		var more [][]byte
		var unfinished []*ua.NodeID
		for i, r := range results[:min(len(results), len(nodes))] {
			for _, description := range r.References {
				all = append(all, reference{description, nodes[i]})
			}
			if len(r.ContinuationPoint) > 0 {
				more, unfinished = append(more, r.ContinuationPoint), append(unfinished, nodes[i])
			}
		}
		if len(more) == 0 || len(all) > mostBrowsed {
			return all, nil
		}
		next, err := s.client.BrowseNext(ctx, &ua.BrowseNextRequest{ContinuationPoints: more})
		if err != nil {
			return all, err
		}
		results, nodes = next.Results, unfinished
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
