package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// Row i by the formulas of ../README.md.
type Row struct {
	Label   string          `ch:"label"`
	ID      uint64          `ch:"id"`
	Big     uint64          `ch:"big"`
	Small   int64           `ch:"small"`
	Ratio   float64         `ch:"ratio"`
	Name    string          `ch:"name"`
	Note    *string         `ch:"note"`
	Amount  *int32          `ch:"amount"`
	Kind    string          `ch:"kind"`
	Tags    []string        `ch:"tags"`
	Numbers []uint64        `ch:"numbers"`
	At      time.Time       `ch:"at"`
	Day     time.Time       `ch:"day"`
	UID     uuid.UUID       `ch:"uid"`
	Price   decimal.Decimal `ch:"price"`
}

const columns = "label, id, big, small, ratio, name, note, amount, kind, tags, numbers, at, day, uid, price"

func newRow(label string, i uint64) Row {
	n := int64(i)
	high, low := fmt.Sprintf("%04x", i), fmt.Sprintf("%04x", 65535-i)
	row := Row{
		Label:   label,
		ID:      i,
		Big:     i,
		Small:   -n,
		Ratio:   float64(n-5000) / 8,
		Name:    fmt.Sprintf("zażółć %d 水🦀 \"q\" 's' \\ , \t;\n", i),
		Kind:    fmt.Sprintf("kind %d", i%7),
		Tags:    []string{},
		Numbers: []uint64{},
		At:      time.Unix(1_700_000_000+61*n, 0).UTC(),
		Day:     time.Unix((10_000+n)*86_400, 0).UTC(),
		UID:     uuid.MustParse(high + high + high + low + low + high + low + high),
		Price:   decimal.New(12_345*n-50_000_000, -4),
	}
	if i%2 == 0 {
		row.Big, row.Small = math.MaxUint64-i, math.MinInt64+n
	}
	if i%3 != 0 {
		note := ""
		if i%3 == 2 {
			note = fmt.Sprintf("note %d", i)
		}
		row.Note = &note
	}
	if i%5 != 0 {
		amount := int32(n - 5000)
		row.Amount = &amount
	}
	for k := range i % 4 {
		row.Tags = append(row.Tags, fmt.Sprintf("ß%d, \"x\"", k))
	}
	for k := range i % 3 {
		row.Numbers = append(row.Numbers, math.MaxUint64-k)
	}
	return row
}

// values in the order of columns.
func (r Row) values() []any {
	return []any{r.Label, r.ID, r.Big, r.Small, r.Ratio, r.Name, r.Note, r.Amount, r.Kind, r.Tags, r.Numbers, r.At, r.Day, r.UID, r.Price}
}

// literal is the row as SQL.
func (r Row) literal() string {
	note, amount := "NULL", "NULL"
	if r.Note != nil {
		note = quoted(*r.Note)
	}
	if r.Amount != nil {
		amount = fmt.Sprint(*r.Amount)
	}
	return fmt.Sprintf("(%s, %d, %d, %d, %v, %s, %s, %s, %s, %s, %s, '%s', '%s', '%s', %s)", quoted(r.Label), r.ID, r.Big, r.Small,
		r.Ratio, quoted(r.Name), note, amount, quoted(r.Kind), r.tagsText(), r.numbersText(), r.At.Format(time.DateTime),
		r.Day.Format(time.DateOnly), r.UID, r.Price.StringFixed(4))
}

// tabSeparated is the row as a line of TabSeparated.
func (r Row) tabSeparated() string {
	note, amount := `\N`, `\N`
	if r.Note != nil {
		note = escaped(*r.Note)
	}
	if r.Amount != nil {
		amount = fmt.Sprint(*r.Amount)
	}
	fields := []string{escaped(r.Label), fmt.Sprint(r.ID), fmt.Sprint(r.Big), fmt.Sprint(r.Small), fmt.Sprint(r.Ratio), escaped(r.Name), note,
		amount, escaped(r.Kind), escaped(r.tagsText()), r.numbersText(), r.At.Format(time.DateTime), r.Day.Format(time.DateOnly), r.UID.String(),
		r.Price.StringFixed(4)}
	return strings.Join(fields, "\t") + "\n"
}

func (r Row) tagsText() string {
	quotedTags := make([]string, len(r.Tags))
	for at, tag := range r.Tags {
		quotedTags[at] = quoted(tag)
	}
	return "[" + strings.Join(quotedTags, ",") + "]"
}

func (r Row) numbersText() string {
	return strings.ReplaceAll(fmt.Sprint(r.Numbers), " ", ",")
}

func quoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

func escaped(text string) string {
	return strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`).Replace(text)
}
