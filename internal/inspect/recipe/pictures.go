package recipe

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

var pictureColumns = []string{"file", "sha256", "held_out_score", "brightness", "spread", "sharpness"}

func encodePictures(pictures []Picture) ([]byte, error) {
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	exact := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	rows := [][]string{pictureColumns}
	for _, p := range pictures {
		rows = append(rows, []string{p.File, p.SHA256, exact(p.Score),
			exact(p.Quality.Brightness), exact(p.Quality.Spread), exact(p.Quality.Sharpness)})
	}
	err := w.WriteAll(rows)
	return text.Bytes(), err
}

func parsePictures(text []byte) ([]Picture, error) {
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || !slices.Equal(rows[0], pictureColumns) {
		return nil, errors.New("has not the columns of a calibration")
	}
	pictures := make([]Picture, len(rows)-1)
	for i, row := range rows[1:] {
		p := &pictures[i]
		p.File, p.SHA256 = row[0], row[1]
		for j, number := range []*float64{&p.Score, &p.Quality.Brightness, &p.Quality.Spread, &p.Quality.Sharpness} {
			if *number, err = strconv.ParseFloat(row[2+j], 64); err != nil {
				return nil, fmt.Errorf("line %d: %q is not a number", i+2, row[2+j])
			}
		}
	}
	return pictures, nil
}
