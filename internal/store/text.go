package store

import (
	"crypto/sha256"
	"fmt"
	"unicode/utf8"
)

// textLimit is the length in bytes up to which text from outside is kept as it came, whatever is in it.
const textLimit = 4096

// fit keeps text as it is, and cuts text that is too long, with a mark that says how long it was and
// still tells two long texts with the same beginning apart.
func fit(text string) string {
	if len(text) <= textLimit {
		return text
	}
	mark := fmt.Sprintf("… [cut: %d bytes, SHA-256 %x]", len(text), sha256.Sum256([]byte(text)))
	end := textLimit - len(mark)
	for begin := end; begin > end-utf8.UTFMax; begin-- { // not through a character
		if utf8.RuneStart(text[begin]) {
			if !utf8.FullRuneInString(text[begin:end]) {
				end = begin
			}
			break
		}
	}
	return text[:end] + mark
}
