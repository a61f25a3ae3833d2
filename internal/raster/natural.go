package raster

import "strings"

// Natural orders names as people do: runs of digits by their value, all else by its bytes. 9.png comes
// before 10.png.
func Natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		if digit(x[0]) && digit(y[0]) {
			p, q := number(x), number(y)
			u, v := strings.TrimLeft(x[:p], "0"), strings.TrimLeft(y[:q], "0")
			if len(u) != len(v) {
				return len(u) - len(v)
			}
			if u != v {
				return strings.Compare(u, v)
			}
			x, y = x[p:], y[q:]
			continue
		}
		if x[0] != y[0] {
			return int(x[0]) - int(y[0])
		}
		x, y = x[1:], y[1:]
	}
	if len(x) != len(y) {
		return len(x) - len(y)
	}
	return strings.Compare(a, b) // 01 and 1 are not the same name
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// number is the length of the run of digits that s begins with.
func number(s string) int {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return n
}
