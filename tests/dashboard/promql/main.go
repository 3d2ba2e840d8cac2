// Evaluates PromQL over samples of a run, and checks rule files, with Prometheus' own engine.
//
//	promql check FILE...
//	promql query < {"series": [{"labels": {...}, "samples": [[t_ms, value], ...]}], "queries": ["..."], "start": t_ms, "end": t_ms, "step_ms": n}
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
)

type series struct {
	Labels  map[string]string `json:"labels"`
	Samples [][2]float64      `json:"samples"`
}

type input struct {
	Series  []series `json:"series"`
	Queries []string `json:"queries"`
	Start   int64    `json:"start"`
	End     int64    `json:"end"`
	StepMs  int64    `json:"step_ms"`
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	if os.Args[1] == "check" {
		for _, file := range os.Args[2:] {
			groups, errs := rulefmt.ParseFile(file, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.Default())
			for _, err := range errs {
				fmt.Fprintln(os.Stderr, err)
			}
			if len(errs) > 0 {
				os.Exit(1)
			}
			rules := 0
			for _, group := range groups.Groups {
				rules += len(group.Rules)
			}
			fmt.Printf("%s: %d rules\n", file, rules)
		}
		return
	}
	var in input
	must(json.NewDecoder(os.Stdin).Decode(&in))
	dir, err := os.MkdirTemp("", "promql")
	must(err)
	defer os.RemoveAll(dir)
	db, err := tsdb.Open(dir, nil, nil, tsdb.DefaultOptions(), nil)
	must(err)
	ctx := context.Background()
	app := db.Appender(ctx)
	for _, s := range in.Series {
		l := labels.FromMap(s.Labels)
		for _, p := range s.Samples {
			_, err := app.Append(0, l, int64(p[0]), p[1])
			must(err)
		}
	}
	must(app.Commit())
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 50000000, Timeout: time.Minute, LookbackDelta: 10 * time.Second, Parser: parser.NewParser(parser.Options{})})
	out := map[string][]series{}
	for _, q := range in.Queries {
		query, err := engine.NewRangeQuery(ctx, db, nil, q, time.UnixMilli(in.Start), time.UnixMilli(in.End), time.Duration(in.StepMs)*time.Millisecond)
		must(err)
		matrix, err := query.Exec(ctx).Matrix()
		must(err)
		found := []series{}
		for _, s := range matrix {
			one := series{Labels: s.Metric.Map()}
			for _, p := range s.Floats {
				// JSON has no word for them, and a plot no place.
				if math.IsNaN(p.F) || math.IsInf(p.F, 0) {
					continue
				}
				one.Samples = append(one.Samples, [2]float64{float64(p.T), p.F})
			}
			found = append(found, one)
		}
		out[q] = found
		query.Close()
	}
	must(json.NewEncoder(os.Stdout).Encode(out))
}
