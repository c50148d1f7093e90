// clickhouse-go v2 over HTTP: Native batches in each compression, database/sql, formats of its own, asynchronous inserts.
// What it prints: ../README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

type suite struct {
	address, table, read, phase, only string
	rows                              uint64
	told                              int
}

func (s *suite) options(method clickhouse.CompressionMethod) *clickhouse.Options {
	options := &clickhouse.Options{
		Protocol: clickhouse.HTTP,
		Addr:     []string{s.address},
		Auth:     clickhouse.Auth{Username: "default"},
	}
	if method != clickhouse.CompressionNone {
		level := 0
		if method == clickhouse.CompressionGZIP || method == clickhouse.CompressionDeflate || method == clickhouse.CompressionBrotli {
			level = 3
		}
		options.Compression = &clickhouse.Compression{Method: method, Level: level}
	}
	return options
}

func (s *suite) label(name string) string {
	return fmt.Sprintf("go: %s: %s", name, s.phase)
}

func (s *suite) tell(kind, name, remark string) {
	s.told++
	fmt.Printf("%s\t%s\t%s\n", kind, name, strings.NewReplacer("\n", " ", "\t", " ").Replace(remark))
}

// insert runs a case that inserts, unless it is left out.
func (s *suite) insert(name string, run func(ctx context.Context, label string) error) {
	if !strings.Contains(name, s.only) {
		return
	}
	since := time.Now()
	if err := run(context.Background(), s.label(name)); err != nil {
		s.tell("failed", name, err.Error())
		return
	}
	s.tell("inserted", name, fmt.Sprintf("%d ms", time.Since(since).Milliseconds()))
}

func (s *suite) ping() {
	const name = "connect and ping"
	if !strings.Contains(name, s.only) {
		return
	}
	conn, err := clickhouse.Open(s.options(clickhouse.CompressionNone))
	if err == nil {
		defer conn.Close()
		err = conn.Ping(context.Background())
	}
	if err != nil {
		s.tell("failed", name, err.Error())
		return
	}
	version, err := conn.ServerVersion()
	if err != nil {
		s.tell("failed", name, err.Error())
		return
	}
	s.tell("done", name, fmt.Sprintf("server %s", version.Version))
}

// with opens a connection for one case.
func (s *suite) with(method clickhouse.CompressionMethod, use func(conn driver.Conn) error) error {
	conn, err := clickhouse.Open(s.options(method))
	if err != nil {
		return err
	}
	defer conn.Close()
	return use(conn)
}

func (s *suite) batch(method clickhouse.CompressionMethod, settings clickhouse.Settings) func(context.Context, string) error {
	return func(ctx context.Context, label string) error {
		if settings != nil {
			ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings))
		}
		return s.with(method, func(conn driver.Conn) error {
			batch, err := conn.PrepareBatch(ctx, fmt.Sprintf("INSERT INTO %s (%s)", s.table, columns))
			if err != nil {
				return err
			}
			for i := range s.rows {
				if err := batch.Append(newRow(label, i).values()...); err != nil {
					return err
				}
			}
			return batch.Send()
		})
	}
}

func (s *suite) structs(ctx context.Context, label string) error {
	return s.with(clickhouse.CompressionNone, func(conn driver.Conn) error {
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+s.table)
		if err != nil {
			return err
		}
		for i := range s.rows {
			row := newRow(label, i)
			if err := batch.AppendStruct(&row); err != nil {
				return err
			}
		}
		return batch.Send()
	})
}

// standard is database/sql: a transaction's prepared statement is a batch.
func (s *suite) standard(ctx context.Context, label string) error {
	db := clickhouse.OpenDB(s.options(clickhouse.CompressionLZ4))
	defer db.Close()
	scope, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	statement, err := scope.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s (%s)", s.table, columns))
	if err != nil {
		return err
	}
	for i := range s.rows {
		if _, err := statement.ExecContext(ctx, newRow(label, i).values()...); err != nil {
			return err
		}
	}
	return scope.Commit()
}

// text is INSERT … VALUES as one statement, by Exec or AsyncInsert.
func (s *suite) text(label string) string {
	values := make([]string, s.rows)
	for i := range s.rows {
		values[i] = newRow(label, i).literal()
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES %s", s.table, columns, strings.Join(values, ", "))
}

func (s *suite) formatted(method clickhouse.CompressionMethod) func(context.Context, string) error {
	return func(ctx context.Context, label string) error {
		var body strings.Builder
		for i := range s.rows {
			body.WriteString(newRow(label, i).tabSeparated())
		}
		return s.with(method, func(conn driver.Conn) error {
			return conn.InsertFormat(ctx, "TabSeparated", fmt.Sprintf("INSERT INTO %s (%s)", s.table, columns), strings.NewReader(body.String()))
		})
	}
}

func (s *suite) readBack(name string) {
	if s.read == "" || !strings.Contains(name, s.only) {
		return
	}
	found, err := s.readRows(s.label(name))
	for _, row := range found {
		if wanted := newRow(row.Label, row.ID); err == nil && !same(row, wanted) {
			err = fmt.Errorf("read %+v, sent %+v", row, wanted)
		}
	}
	if err != nil {
		s.tell("failed", name, err.Error())
		return
	}
	s.tell("read", name, strconv.Itoa(len(found)))
}

func same(row, wanted Row) bool {
	if !row.At.Equal(wanted.At) || !row.Day.Equal(wanted.Day) || !row.Price.Equal(wanted.Price) {
		return false
	}
	row.At, row.Day, row.Price = wanted.At, wanted.Day, wanted.Price
	return reflect.DeepEqual(row, wanted)
}

func (s *suite) readRows(label string) (found []Row, err error) {
	err = s.with(clickhouse.CompressionLZ4, func(conn driver.Conn) error {
		query := fmt.Sprintf("SELECT %s FROM %s WHERE label = '%s'", columns, s.read, label)
		for tries := 0; len(found) == 0 && tries < 100; tries++ {
			if tries > 0 {
				time.Sleep(100 * time.Millisecond) // Weir delivers a little after its answer
			}
			if err := conn.Select(context.Background(), &found, query); err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

func main() {
	address, err := url.Parse(os.Getenv("CLIENTS_URL"))
	rows, numberError := strconv.ParseUint(os.Getenv("CLIENTS_ROWS"), 10, 64)
	if err := errors.Join(err, numberError); err != nil {
		panic(err)
	}
	s := &suite{
		address: address.Host, table: os.Getenv("CLIENTS_TABLE"), read: os.Getenv("CLIENTS_READ"),
		phase: os.Getenv("CLIENTS_PHASE"), only: os.Getenv("CLIENTS_ONLY"), rows: rows,
	}
	s.ping()
	s.insert("Native, uncompressed", s.batch(clickhouse.CompressionNone, nil))
	for _, method := range []clickhouse.CompressionMethod{
		clickhouse.CompressionLZ4, clickhouse.CompressionZSTD, clickhouse.CompressionGZIP,
		clickhouse.CompressionDeflate, clickhouse.CompressionBrotli,
	} {
		s.insert("Native, "+method.String(), s.batch(method, nil))
	}
	s.insert("Native, async_insert", s.batch(clickhouse.CompressionLZ4, clickhouse.Settings{"async_insert": 1, "wait_for_async_insert": 1}))
	s.insert("Native, structs", s.structs)
	s.insert("Native, database/sql, lz4", s.standard)
	s.insert("INSERT VALUES by Exec", func(ctx context.Context, label string) error {
		return s.with(clickhouse.CompressionNone, func(conn driver.Conn) error { return conn.Exec(ctx, s.text(label)) })
	})
	s.insert("INSERT VALUES by Exec with WithAsync", func(ctx context.Context, label string) error {
		ctx = clickhouse.Context(ctx, clickhouse.WithAsync(true))
		return s.with(clickhouse.CompressionNone, func(conn driver.Conn) error { return conn.Exec(ctx, s.text(label)) })
	})
	s.insert("InsertFormat TabSeparated", s.formatted(clickhouse.CompressionNone))
	s.insert("InsertFormat TabSeparated, gzip", s.formatted(clickhouse.CompressionGZIP))
	s.insert("InsertFormat TabSeparated, zstd", s.formatted(clickhouse.CompressionZSTD))
	s.readBack("Native, uncompressed")
	fmt.Printf("end\t%d\n", s.told)
}
