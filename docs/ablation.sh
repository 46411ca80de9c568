#!/usr/bin/env bash
# Prints the ablation tables of docs/results/ablation.md: what each part of the forecast is worth on the bundled data.
# TICKCAST: the command to call, `cargo run` unless said. Needs python3. A minute.
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra tickcast <<< "${TICKCAST:-cargo run --locked --quiet --}"

# one PIPELINE SKIP MEAN NAME [--set KEY=VALUE]...: one row of a table. MEAN: "overall", or "series" for the mean over series.
one() {
    local pipeline=$1 skip=$2 mean=$3 name=$4
    shift 4
    "${tickcast[@]}" backtest "pipelines/$pipeline.yaml" --skip "$skip" --json "$@" \
        | python3 -c '
import json, sys
mean, name = sys.argv[1:]
result = json.load(sys.stdin)
of = [result] if mean == "overall" else result["series"]
# A series too short for a score (FB) has no measures.
of = [one["horizons"] for one in of if one["horizons"][0]["scored"] > 0]
average = lambda values: sum(values) / len(values)
skills = [100 * average([at["skill"] for at in horizon]) for horizon in zip(*of)]
level = [next(level for level in one[0]["levels"] if level["level"] == 0.9) for one in of]
digits = 1 if mean == "overall" else 2
# Adding 0 makes -0 a 0.
cells = [f"{round(skill, digits) + 0:.{digits}f} %".replace("-", "−") for skill in skills]
cells.append("{:.1f} %".format(100 * average([one["coverage"] for one in level])))
cells.append("{:.3f}".format(average([one["winkler_ratio"] for one in level])))
print("| " + " | ".join([name, *cells]) + " |")' "$mean" "$name"
}

# table PIPELINE SKIP MEAN TARGET SEASONAL HORIZON... -- [ARGUMENT]...: a table; the arguments go to every run.
table() {
    local pipeline=$1 skip=$2 mean=$3 target=$4 seasonal=$5 header="| what |" line="|---|"
    shift 5
    while [ "$1" != -- ]; do
        header+=" skill, $1 |" line+="--:|"
        shift
    done
    shift
    echo "$header 90 % covers | Winkler ratio |"
    echo "$line--:|--:|"
    row() {
        local name=$1
        shift
        one "$pipeline" "$skip" "$mean" "$name" "${common[@]}" "$@"
    }
    local common=("$@")
    row "all as the file says"
    row "target's own column only" --set "forecast.features=[$target]"
    grep -q '^  calendar:' "pipelines/$pipeline.yaml" && row "no calendar" --set 'forecast.calendar=[]'
    row "without rls" --set "forecast.experts=[naive, ${seasonal}ewma, rnn]"
    row "without rnn" --set "forecast.experts=[naive, ${seasonal}ewma, rls]"
    row "without ewma and seasonal_naive" --set 'forecast.experts=[naive, rls, rnn]'
    row "naive and rnn" --set 'forecast.experts=[naive, rnn]'
    row "rnn alone" --set 'forecast.experts=[rnn]'
    row "rls alone" --set 'forecast.experts=[rls]'
    row "replay: 0" --set forecast.model.replay=0
    row "ema: 0" --set forecast.model.ema=0
    row "mixture: ml_poly" --set forecast.mixture=ml_poly
}

echo "Weather (three airports together, first 720 hours not scored; coverage and Winkler ratio at 1 h):"
echo
table weather 720 overall temp 'seasonal_naive, ' '1 h' '6 h' '24 h' -- \
    --set 'source={file: {path: data/nyc-weather.csv.gz}, schema: ../schemas/observation.avsc}'
echo
echo "Stocks (mean of four companies, first 500 trading days not scored; coverage and Winkler ratio at 1 day):"
echo
table stocks 500 series close '' '1 day' '5 days' '20 days' --
