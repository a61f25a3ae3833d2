package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/store"
)

func (p *program) verifyCommand() *cobra.Command {
	var q verifyQuestion
	c := &cobra.Command{
		Use:   "verify [EXPORT]",
		Short: "prove that the record is what was written",
		Long: `Verify recomputes the chain over all rows of the record and names each row that was changed, added, cut out
or moved, each heatmap that differs, each picture that is missing, and where the counts and the list of rejects are
not those of the rows. It works while the daemon runs. It ends with code 4 where something is wrong.

A record that was rewritten as a whole can only be found out by a seal that was kept on another machine: the
daemon logs one a day. Give the log that has those lines with --seals, as it is.

With the file of an export it verifies that, on any machine and without a record.`,
		Example: `  linectl verify --pictures
  linectl verify --key seal-public.pem --seals kept-elsewhere.log
  linectl verify L1207.zip --key seal-public.pem`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return p.verify(c.Context(), q, args) },
	}
	c.Flags().BoolVar(&q.pictures, "pictures", false, "read every picture and compare its hash, not only its size")
	c.Flags().StringVar(&q.key, "key", "", "file of the public key (Ed25519, PEM) that signed the seals")
	c.Flags().StringVar(&q.seals, "seals", "", "a log that was kept elsewhere, with the seals that the daemon has logged")
	return c
}

type verifyQuestion struct {
	pictures   bool
	key, seals string
}

// verified is what the command found; its keys are a contract.
type verified struct {
	store.Verification
	Found []string `json:"found"`
}

func (p *program) verify(ctx context.Context, q verifyQuestion, args []string) (err error) {
	options := store.VerifyOptions{Read: q.pictures}
	if q.key != "" {
		if options.Key, err = store.ReadSealKey(q.key); err != nil {
			return fmt.Errorf("--key: %w", err)
		}
	}
	if q.seals != "" {
		if options.Known, err = readSeals(q.seals); err != nil {
			return hint.New(hint.Usage, fmt.Errorf("--seals: %w", err), "give a log with the daemon's lines 'the record is sealed' as they are")
		}
	}
	if len(args) == 1 {
		return p.verifyExport(ctx, args[0], options)
	}
	reader, err := p.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	found := verified{Found: []string{}}
	found.Verification, err = reader.Verify(ctx, options, func(problem string) {
		found.Found = append(found.Found, problem)
		if p.output == "table" {
			fmt.Fprintln(p.out, shown(problem, 400))
		}
	})
	if err != nil {
		return err
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	rows := [][]string{
		{"record", found.Record}, {"links", count(found.Links)}, {"head", found.Head}, {"rows proved", count(found.Proved)}, {"parts", count(found.Parts)},
		{"seals", count(found.Seals)}, {"signatures checked", count(found.Signed)},
		{"pictures", count(found.Pictures)}, {"removed by retention", count(found.Removed)}, {"problems", count(found.Problems)},
	}
	if err := p.printVerified(found, found.Found, rows); err != nil {
		return err
	}
	if found.Problems > 0 {
		return hint.New(hint.Damage, fmt.Errorf("the record is not what was written: %d problems", found.Problems),
			"keep the file as it is, and compare it with a backup that verifies")
	}
	return nil
}

func (p *program) printVerified(value any, problems []string, rows [][]string) error {
	var header []string
	if p.output == "csv" {
		header = []string{"field", "value"}
		for _, problem := range problems {
			rows = append(rows, []string{"problem", problem})
		}
	}
	return p.print(value, header, rows)
}

// verifiedExport is what the command found in an export; its keys are a contract.
type verifiedExport struct {
	store.ExportVerification
	Found []string `json:"found"`
}

func (p *program) verifyExport(ctx context.Context, path string, options store.VerifyOptions) error {
	found := verifiedExport{Found: []string{}}
	var err error
	found.ExportVerification, err = store.VerifyExport(ctx, path, options, func(problem string) {
		found.Found = append(found.Found, problem)
		if p.output == "table" {
			fmt.Fprintln(p.out, shown(problem, 400))
		}
	})
	if err != nil {
		return err
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	if err := p.printVerified(found, found.Found, [][]string{
		{"record", found.Record}, {"exported at", found.Created}, {"parts", count(found.Parts)}, {"rows", count(found.Rows)},
		{"heatmaps", count(found.Heatmaps)}, {"pictures", count(found.Pictures)}, {"removed by retention", count(found.Removed)},
		{"seals", count(found.Seals)}, {"signatures checked", count(found.Signed)}, {"rows not sealed yet", count(found.Unsealed)},
		{"problems", count(found.Problems)},
	}); err != nil {
		return err
	}
	if found.Problems > 0 {
		return hint.New(hint.Damage, fmt.Errorf("the export is not what was written: %d problems", found.Problems), "ask for it again, from who has the record")
	}
	return nil
}

// longestLine is more than any line with a seal has: a longer one is of another program.
const longestLine = 1 << 20

// readSeals reads the seals out of a log; other lines of it are passed over.
func readSeals(path string) (seals []store.Seal, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, longestLine)
	for n := 1; ; n++ {
		line, long, err := lines.ReadLine()
		text := string(line)
		for rest := long; rest && err == nil; {
			_, rest, err = lines.ReadLine()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if long {
			continue
		}
		s, err := sealIn(text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if s != nil {
			seals = append(seals, *s)
		}
	}
	if len(seals) == 0 {
		return nil, fmt.Errorf("%s: there is no seal in it", path)
	}
	return seals, nil
}

// sealIn finds the seal in a line: as the daemon logs it, whatever a journal puts before; in a line of a log in JSON;
// or alone. It is nil where there is none, also in what other programs have logged.
func sealIn(line string) (*store.Seal, error) {
	if _, after, found := strings.Cut(" "+line, " seal=\""); found {
		quoted, err := strconv.QuotedPrefix(`"` + after)
		if err != nil {
			return nil, errors.New("the seal is cut off")
		}
		text, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		return readSeal(text)
	}
	begin := strings.IndexByte(line, '{')
	if begin < 0 {
		return nil, nil
	}
	var entry struct {
		Record  json.RawMessage `json:"record"`
		Hash    json.RawMessage `json:"hash"`
		Seal    json.RawMessage `json:"seal"`
		Message json.RawMessage `json:"MESSAGE"` // journalctl -o json
	}
	if err := json.Unmarshal([]byte(line[begin:]), &entry); err != nil {
		if namesSeal(line) {
			return nil, err
		}
		return nil, nil
	}
	if text := textOf(entry.Seal); text != "" {
		return readSeal(text)
	}
	if text := textOf(entry.Message); text != "" {
		return sealIn(text)
	}
	if textOf(entry.Record) != "" && textOf(entry.Hash) != "" { // a recipe has a hash, too
		return readSeal(line[begin:])
	}
	return nil, nil
}

// namesSeal tells whether a line that is no JSON, or cut off, may have been one with a seal.
func namesSeal(line string) bool {
	return strings.Contains(line, `"record":`) || strings.Contains(line, `"seal":`) || strings.Contains(line, ` seal=\"`)
}

// textOf is a field that is a text. A journal prints one with bytes that cannot be printed as an array of their numbers.
func textOf(field json.RawMessage) string {
	var text string
	if json.Unmarshal(field, &text) == nil {
		return text
	}
	var bytes []byte
	if json.Unmarshal(field, &bytes) == nil {
		return string(bytes)
	}
	return ""
}

func readSeal(text string) (*store.Seal, error) {
	var s store.Seal
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, err
	}
	if s.N < 1 || len(s.Hash) != 64 {
		return nil, errors.New("it is not a seal")
	}
	return &s, nil
}
