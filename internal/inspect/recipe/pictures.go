package recipe

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

var (
	pictureColumns = []string{"file", "sha256", "held_out_score", "group", "suspect", "brightness", "spread", "sharpness", "of_it_appearance"}
	columnsFormat3 = pictureColumns[:8]
	columnsFormat1 = []string{"file", "sha256", "held_out_score", "brightness", "spread", "sharpness"}
	goldenColumns  = []string{"file", "score"}
)

func exact(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func encodePictures(pictures []Picture) ([]byte, error) {
	rows := [][]string{pictureColumns}
	for _, p := range pictures {
		rows = append(rows, []string{p.File, p.SHA256, exact(p.Score), strconv.Itoa(p.Group), strconv.FormatBool(p.Suspect),
			exact(p.Quality.Brightness), exact(p.Quality.Spread), exact(p.Quality.Sharpness), exact(p.Appearance)})
	}
	return encodeRows(rows)
}

func encodeRows(rows [][]string) ([]byte, error) {
	var text bytes.Buffer
	err := csv.NewWriter(&text).WriteAll(rows)
	return text.Bytes(), err
}

func parsePictures(text []byte) ([]Picture, error) {
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || !slices.ContainsFunc([][]string{pictureColumns, columnsFormat3, columnsFormat1}, func(c []string) bool { return slices.Equal(c, rows[0]) }) {
		return nil, errors.New("has not the columns of a calibration")
	}
	columns := len(rows[0])
	pictures := make([]Picture, len(rows)-1)
	for i, row := range rows[1:] {
		p := &pictures[i]
		if columns == len(columnsFormat1) { // each picture counted for itself
			row = slices.Insert(slices.Clone(row), 3, strconv.Itoa(i), "false")
		}
		if columns < len(pictureColumns) {
			row = append(slices.Clone(row), "0")
		}
		p.File, p.SHA256 = row[0], row[1]
		if p.Group, err = strconv.Atoi(row[3]); err != nil {
			return nil, fmt.Errorf("line %d: %q is not a group", i+2, row[3])
		}
		if p.Suspect, err = strconv.ParseBool(row[4]); err != nil {
			return nil, fmt.Errorf("line %d: %q is neither true nor false", i+2, row[4])
		}
		for _, number := range []struct {
			text string
			to   *float64
		}{{row[2], &p.Score}, {row[5], &p.Quality.Brightness}, {row[6], &p.Quality.Spread}, {row[7], &p.Quality.Sharpness}, {row[8], &p.Appearance}} {
			if *number.to, err = strconv.ParseFloat(number.text, 64); err != nil || !finite(*number.to) {
				return nil, fmt.Errorf("line %d: %q is not a number", i+2, number.text)
			}
		}
	}
	return pictures, nil
}

func encodeGolden(golden []Golden) ([]byte, error) {
	rows := [][]string{goldenColumns}
	for _, g := range golden {
		rows = append(rows, []string{g.File, exact(g.Score)})
	}
	return encodeRows(rows)
}

func parseGolden(text []byte) ([]Golden, error) {
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || !slices.Equal(rows[0], goldenColumns) {
		return nil, errors.New("has not the columns of golden pictures")
	}
	golden := make([]Golden, len(rows)-1)
	for i, row := range rows[1:] {
		golden[i].File = row[0]
		if golden[i].Score, err = strconv.ParseFloat(row[1], 64); err != nil || !finite(golden[i].Score) || golden[i].Score < 0 {
			return nil, fmt.Errorf("line %d: %q is not a score", i+2, row[1])
		}
	}
	return golden, nil
}
