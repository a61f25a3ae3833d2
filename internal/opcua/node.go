package opcua

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/gopcua/opcua/ua"
)

// node is a configured node id. The namespace is given by number or by URI; the URI's number is
// known only once the PLC has been asked, and may differ at the next connect.
type node struct {
	text      string
	namespace uint16 // where uri is ""
	uri       string
	make      func(namespace uint16) *ua.NodeID
}

func (n node) String() string { return n.text }

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// parseNode reads ns=N;X=ID or nsu=URI;X=ID, where X is s (string), i (number), g (GUID) or b (base64).
// The namespace is required: the library would take "abc" for a node of namespace 0.
func parseNode(text string) (node, error) {
	const form = `write ns=3;s="DB"."Tag", or nsu=URI;s=… with the namespace's URI`
	wrong := func(what string) (node, error) { return node{}, fmt.Errorf("%q %s; %s", text, what, form) }

	if strings.TrimFunc(text, unicode.IsSpace) != text {
		return wrong("begins or ends with a space")
	}
	space, id, found := strings.Cut(text, ";")
	if !found {
		return wrong("is no node id")
	}
	n := node{text: text}
	switch kind, value, _ := strings.Cut(space, "="); {
	case kind == "ns":
		number, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return wrong("has no namespace number from 0 to 65535")
		}
		n.namespace = uint16(number)
	case kind == "nsu" && value != "":
		n.uri = value
	default:
		return wrong("does not begin with a namespace")
	}
	kind, value, _ := strings.Cut(id, "=")
	if value == "" {
		return wrong("has an empty identifier")
	}
	switch kind {
	case "s":
		n.make = func(ns uint16) *ua.NodeID { return ua.NewStringNodeID(ns, value) }
	case "i":
		number, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return wrong("has no number from 0 to 4294967295 after i=")
		}
		n.make = func(ns uint16) *ua.NodeID { return ua.NewNumericNodeID(ns, uint32(number)) }
	case "g":
		if !guid.MatchString(value) {
			return wrong("has no GUID after g=")
		}
		n.make = func(ns uint16) *ua.NodeID { return ua.NewGUIDNodeID(ns, value) }
	case "b":
		bytes, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return wrong("has no base64 after b=")
		}
		n.make = func(ns uint16) *ua.NodeID { return ua.NewByteStringNodeID(ns, bytes) }
	default:
		return wrong("has an identifier that is not s=, i=, g= or b=")
	}
	return n, nil
}

// resolve gives the node its number in the PLC's present list of namespaces.
func (n node) resolve(namespaces []string) (*ua.NodeID, error) {
	if n.uri == "" {
		return n.make(n.namespace), nil
	}
	i := slices.Index(namespaces, n.uri)
	if i < 0 {
		return nil, fmt.Errorf("the PLC has no namespace %s; it has %s", n.uri, strings.Join(namespaces, ", "))
	}
	return n.make(uint16(i)), nil
}

// textOf writes a node with its namespace's URI, as a config wants it.
func textOf(id *ua.NodeID, namespaces []string) string {
	text := id.String()
	if _, identifier, found := strings.Cut(text, ";"); found {
		text = identifier
	}
	return "nsu=" + namespaces[id.Namespace()] + ";" + text
}
