//! Seeded synthetic ticks, market or weather: a source without a world, for demos, benchmarks and
//! tests.
//! It must not know the clock (`rate` is the reader's business), files, Kafka or what becomes of
//! the ticks.
//!
//! A partition's ticks are a pure function of (plan, partition, offset). Each series has its own
//! random numbers and its own clock, seeded by its number, so its path is the same whatever
//! `partitions` and the number of series are; a partition merges its series by event time. Only
//! `libm` and plain IEEE arithmetic make the values, so their bits are the same on every machine.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::f64::consts::TAU;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rand::RngCore;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::Deserialize;
use tickcast_stream::PartitionId;

/// Ticks that are made up: the same ones for the same spec.
#[derive(Debug, Clone)]
pub struct GeneratorSpec {
    /// How many series there are in all partitions together.
    pub series: u32,
    /// How many ticks there are in all partitions together.
    pub ticks: u64,
    /// Ticks a second; none: as fast as the pipeline takes them.
    pub rate: Option<f64>,
    /// Makes other ticks where it is another one.
    pub seed: u64,
    /// What the values look like.
    pub process: Process,
    /// How many partitions the series are dealt out to.
    pub partitions: i32,
}

/// What generated values look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Process {
    /// Prices and sizes of trades, about one a second.
    Market,
    /// Temperature, humidity and wind of places, every ten minutes.
    Weather,
}

/// 2024-01-01T00:00:00Z.
const START_US: i64 = 1_704_067_200_000_000;
/// Mean time between two market ticks of a series.
const MARKET_GAP_US: f64 = 1e6;
/// Time between two weather ticks of a series.
const WEATHER_GAP_US: i64 = 600_000_000;
const DAY_US: i64 = 86_400_000_000;
/// A Julian year, 365.25 days.
const YEAR_US: i64 = 31_557_600_000_000;
/// The most value columns a process has.
const MAX_VALUES: usize = 3;

/// The value columns of a process, all Float64.
fn value_names(process: Process) -> &'static [&'static str] {
    match process {
        Process::Market => &["price", "size"],
        // °C, % and m/s.
        Process::Weather => &["temp", "humid", "wind"],
    }
}

/// The columns of a process: `series` Utf8, `time` in microseconds UTC, then the values; none is
/// ever null.
pub fn schema(process: Process) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![Field::new("series", DataType::Utf8, false), Field::new("time", time, false)];
    fields.extend(value_names(process).iter().map(|name| Field::new(*name, DataType::Float64, false)));
    Arc::new(Schema::new(fields))
}

/// The ticks of one partition, in time order; restartable at any offset by `skip`.
#[derive(Debug, Clone)]
pub struct Ticks {
    schema: SchemaRef,
    /// This partition's series: those whose number modulo `partitions` is the partition.
    series: Vec<Series>,
    /// Time of the next tick and slot in `series`, the earliest on top; a finished series is not in
    /// it.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    offset: u64,
}

impl Ticks {
    /// Stands before the partition's first tick. `plan.ticks` is the total: it is shared evenly
    /// among all series of all partitions, the first series having one more where that leaves a
    /// rest.
    ///
    /// # Panics
    /// If `partition` is not one of the plan's.
    pub fn new(plan: &GeneratorSpec, partition: PartitionId) -> Self {
        assert!((0..plan.partitions).contains(&partition.0), "partition {partition} of {}", plan.partitions);
        let numbers = (partition.0 as u32..plan.series).step_by(plan.partitions as usize);
        let series: Vec<Series> = numbers.map(|number| Series::new(plan, number)).collect();
        let live = series.iter().enumerate().filter(|(_, series)| series.ticks_left > 0);
        let next = live.map(|(slot, series)| Reverse((series.next_us, slot))).collect();
        Ticks { schema: schema(plan.process), series, next, offset: 0 }
    }

    /// The columns of every batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The number of this partition's ticks read or skipped so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next ticks, at most `max_rows`; none at the end.
    ///
    /// # Panics
    /// If `max_rows` is 0.
    #[expect(clippy::expect_used, reason = "that it cannot fail is seen three lines above")]
    pub fn next_batch(&mut self, max_rows: usize) -> Option<RecordBatch> {
        assert!(max_rows > 0, "a batch has at least one row");
        let mut names = StringBuilder::new();
        let mut times_us = Vec::new();
        let mut columns = vec![Vec::new(); self.schema.fields().len() - 2];
        while times_us.len() < max_rows
            && let Some((slot, time_us, values)) = self.advance()
        {
            names.append_value(&self.series[slot].name);
            times_us.push(time_us);
            columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }

        if times_us.is_empty() {
            return None;
        }

        let times = TimestampMicrosecondArray::from(times_us).with_timezone("UTC");
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(names.finish()), Arc::new(times)];
        arrays.extend(columns.into_iter().map(|column| Arc::new(Float64Array::from(column)) as ArrayRef));
        Some(RecordBatch::try_new(self.schema(), arrays).expect("the arrays are built after the schema"))
    }

    /// Passes over `rows` ticks, or what is left: what follows is the same as after reading them.
    /// They have to be drawn all the same, some 4 million a second.
    pub fn skip(&mut self, rows: u64) {
        for _ in 0..rows {
            if self.advance().is_none() {
                return;
            }
        }
    }

    /// Draws the earliest tick that is left: slot of its series, time, values.
    fn advance(&mut self) -> Option<(usize, i64, [f64; MAX_VALUES])> {
        let mut top = self.next.peek_mut()?;
        let Reverse((time_us, slot)) = *top;
        let series = &mut self.series[slot];
        let values = series.advance();
        if series.ticks_left > 0 {
            *top = Reverse((series.next_us, slot));
        } else {
            PeekMut::pop(top);
        }

        self.offset += 1;
        Some((slot, time_us, values))
    }
}

/// One series: its clock, its random numbers and the state of its process.
#[derive(Debug, Clone)]
struct Series {
    name: String,
    ticks_left: u64,
    next_us: i64,
    random: Random,
    path: Path,
}

#[derive(Debug, Clone)]
enum Path {
    Market(Market),
    Weather(Weather),
}

impl Series {
    fn new(plan: &GeneratorSpec, number: u32) -> Self {
        let mut random = Random::new(plan.seed, number);
        let path = match plan.process {
            Process::Market => Path::Market(Market::new(&mut random)),
            Process::Weather => Path::Weather(Weather::new(&mut random)),
        };

        let series = u64::from(plan.series);
        let ticks_left = plan.ticks / series + u64::from(u64::from(number) < plan.ticks % series);
        let mut next_us = START_US;
        if plan.process == Process::Market {
            next_us += random.gap_us();
        }
        Series { name: format!("s{number:05}"), ticks_left, next_us, random, path }
    }

    /// The values at `next_us`; then the clock goes on.
    fn advance(&mut self) -> [f64; MAX_VALUES] {
        self.ticks_left -= 1;
        let (values, gap_us) = match &mut self.path {
            Path::Market(market) => (market.advance(&mut self.random), self.random.gap_us()),
            Path::Weather(weather) => (weather.advance(self.next_us, &mut self.random), WEATHER_GAP_US),
        };
        self.next_us = self.next_us.saturating_add(gap_us);
        values
    }
}

/// A price whose volatility switches between calm and wild.
#[derive(Debug, Clone)]
struct Market {
    /// The random walk of the log price.
    log_price: f64,
    /// The part of the log price that fades: what a forecaster can find.
    fading: f64,
    wild: bool,
}

impl Market {
    const CALM_SIGMA: f64 = 2e-4;
    const WILD_SIGMA: f64 = 8e-4;
    /// Chances a tick of leaving a regime: some 8 calm minutes, then 2 wild ones.
    const CALM_ENDS: f64 = 0.002;
    const WILD_ENDS: f64 = 0.01;
    const JUMP_CHANCE: f64 = 2e-4;
    const JUMP_SIGMA: f64 = 3e-3;
    /// AR(1) of the fading part; half of a deviation is gone after 34 ticks.
    const FADING_PHI: f64 = 0.98;
    const FADING_SIGMA: f64 = 1e-4;

    fn new(random: &mut Random) -> Self {
        // From 20 to 500, evenly in the logarithm.
        let log_price = libm::log(20.0) + libm::log(25.0) * random.uniform();
        Market { log_price, fading: 0.0, wild: false }
    }

    /// Price and size; price = exp(walk + fading), walk += sigma(regime) n1 (+ jump), fading = phi
    /// fading + s n2.
    fn advance(&mut self, random: &mut Random) -> [f64; MAX_VALUES] {
        let switch = if self.wild { Self::WILD_ENDS } else { Self::CALM_ENDS };
        if random.uniform() < switch {
            self.wild = !self.wild;
        }
        let jumps = random.uniform() < Self::JUMP_CHANCE;

        let [walk, fade] = random.normals();
        let [jump, volume] = random.normals();
        self.log_price += walk * if self.wild { Self::WILD_SIGMA } else { Self::CALM_SIGMA };

        if jumps {
            self.log_price += jump * Self::JUMP_SIGMA;
        }

        self.fading = Self::FADING_PHI * self.fading + Self::FADING_SIGMA * fade;
        let log_size = if self.wild { 4.5 } else { 4.0 } + 0.8 * volume;
        [libm::exp(self.log_price + self.fading), libm::ceil(libm::exp(log_size)), 0.0]
    }
}

/// Weather of a place: a year, a day, and spells of some days that are warmer, drier or windier
/// than usual.
#[derive(Debug, Clone)]
struct Weather {
    mean_celsius: f64,
    /// Anomalies of temperature, humidity and wind, each an AR(1) of variance 1.
    anomaly: [f64; MAX_VALUES],
}

impl Weather {
    /// Of a 10 minute step: a spell lasts 500 steps, three and a half days.
    const PHI: f64 = 0.998;

    fn new(random: &mut Random) -> Self {
        let [offset, temp] = random.normals();
        let [humid, wind] = random.normals();
        Weather { mean_celsius: 11.0 + 4.0 * offset, anomaly: [temp, humid, wind] }
    }

    /// Temperature (°C), relative humidity (%) and wind speed (m/s).
    fn advance(&mut self, time_us: i64, random: &mut Random) -> [f64; MAX_VALUES] {
        // Warmest at the end of July and at 15 h UTC.
        let year = cycle(time_us - START_US, YEAR_US, 0.57);
        let day = cycle(time_us - START_US, DAY_US, 15.0 / 24.0);

        let [n0, n1] = random.normals();
        let [n2, noise] = random.normals();
        let sigma = libm::sqrt(1.0 - Self::PHI * Self::PHI);
        for (anomaly, n) in self.anomaly.iter_mut().zip([n0, n1, n2]) {
            *anomaly = Self::PHI * *anomaly + sigma * n;
        }

        let [warm, damp, windy] = self.anomaly;
        let temp = self.mean_celsius + 11.0 * year + 4.5 * day + 3.5 * warm + 0.15 * noise;

        let humid = 65.0 - 12.0 * day - 4.0 * warm + 12.0 * damp;
        let wind = libm::exp(1.2 + 0.25 * day - 0.1 * year + 0.5 * windy);
        [temp, humid.clamp(5.0, 100.0), wind]
    }
}

/// cos(2 pi (t / period - peak)): 1 at the share `peak` of every period.
fn cycle(elapsed_us: i64, period_us: i64, peak: f64) -> f64 {
    libm::cos(TAU * ((elapsed_us % period_us) as f64 / period_us as f64 - peak))
}

/// The random numbers of one series.
#[derive(Debug, Clone)]
struct Random(Pcg64);

impl Random {
    /// State and stream are mixed well, as PCG streams of neighbouring numbers would resemble each
    /// other.
    fn new(seed: u64, number: u32) -> Self {
        let mut mixed = split_mix(seed) ^ u64::from(number);
        let mut word = || {
            mixed = split_mix(mixed);
            u128::from(mixed)
        };
        let state = (word() << 64) | word();
        let stream = (word() << 64) | word();
        Random(Pcg64::new(state, stream))
    }

    /// Evenly in [0, 1), in steps of 2^-53.
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Two independent standard normals (Box and Muller 1958).
    fn normals(&mut self) -> [f64; 2] {
        // 1 - u is in (0, 1]: the logarithm is finite.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        let angle = TAU * self.uniform();
        [radius * libm::cos(angle), radius * libm::sin(angle)]
    }

    /// Time to a series' next market tick, exponential, at least 1 so that a series never has a
    /// time twice.
    fn gap_us(&mut self) -> i64 {
        ((-MARKET_GAP_US * libm::log(1.0 - self.uniform())) as i64).max(1)
    }
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit of the
/// output.
fn split_mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Float64Type, TimestampMicrosecondType};

    use super::*;

    const BOTH: [Process; 2] = [Process::Market, Process::Weather];

    fn plan(process: Process, series: u32, ticks: u64, partitions: i32) -> GeneratorSpec {
        GeneratorSpec { series, ticks, rate: None, seed: 7, process, partitions }
    }

    fn read(ticks: &mut Ticks, mut max_rows: impl FnMut() -> usize) -> RecordBatch {
        let mut batches = Vec::new();
        while let Some(batch) = ticks.next_batch(max_rows()) {
            batches.push(batch);
        }
        concat_batches(&ticks.schema(), &batches).unwrap()
    }

    fn read_all(plan: &GeneratorSpec, partition: PartitionId) -> RecordBatch {
        read(&mut Ticks::new(plan, partition), || 1000)
    }

    fn times(batch: &RecordBatch) -> &[i64] {
        batch["time"].as_primitive::<TimestampMicrosecondType>().values()
    }

    fn values<'a>(batch: &'a RecordBatch, name: &str) -> &'a [f64] {
        batch[name].as_primitive::<Float64Type>().values()
    }

    /// (time, series, bits of the values) of every row.
    fn rows(batch: &RecordBatch) -> Vec<(i64, String, Vec<u64>)> {
        let names = batch["series"].as_string::<i32>();
        let row = |i: usize| {
            let bits =
                batch.columns()[2..].iter().map(|c| c.as_primitive::<Float64Type>().value(i).to_bits());
            (times(batch)[i], names.value(i).to_string(), bits.collect())
        };
        (0..batch.num_rows()).map(row).collect()
    }

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        sum / count
    }

    fn log_returns(prices: &[f64]) -> Vec<f64> {
        prices.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect()
    }

    #[test]
    fn batch_sizes_do_not_matter() {
        for process in BOTH {
            let plan = plan(process, 7, 3001, 2);
            let whole = read_all(&plan, PartitionId(1));
            for seed in 0..50 {
                let mut random = Random::new(seed, 0);
                let batched = read(&mut Ticks::new(&plan, PartitionId(1)), || {
                    1 + (random.uniform() * f64::from(1 << (seed % 10))) as usize
                });
                assert_eq!(whole, batched, "sizes of seed {seed}");
            }
        }
    }

    #[test]
    fn skipping_equals_reading() {
        for process in BOTH {
            let plan = plan(process, 5, 2003, 2);
            let whole = read_all(&plan, PartitionId(0));
            let mut random = Random::new(1, 0);
            for _ in 0..50 {
                let rows = (random.uniform() * whole.num_rows() as f64) as usize;
                let first = 1 + (random.uniform() * 100.0) as usize;
                let mut ticks = Ticks::new(&plan, PartitionId(0));
                let read_first = ticks.next_batch(first).map_or(0, |batch| batch.num_rows());
                ticks.skip(rows as u64);
                let at = (read_first + rows).min(whole.num_rows());
                assert_eq!(ticks.offset(), at as u64);
                let rest = whole.slice(at, whole.num_rows() - at);
                assert_eq!(read(&mut ticks, || 64), rest, "after {at} rows");
            }
        }
    }

    #[test]
    fn skipping_stops_at_the_end() {
        let mut ticks = Ticks::new(&plan(Process::Market, 3, 10, 1), PartitionId(0));
        ticks.skip(u64::MAX);
        assert_eq!(ticks.offset(), 10);
        assert!(ticks.next_batch(1).is_none());
        assert!(ticks.next_batch(1).is_none());
    }

    #[test]
    fn a_seed_says_it_all() {
        for process in BOTH {
            let seven = plan(process, 3, 300, 1);
            let eight = GeneratorSpec { seed: 8, ..seven.clone() };
            let paced = GeneratorSpec { rate: Some(10.0), ..seven.clone() };
            assert_eq!(read_all(&seven, PartitionId(0)), read_all(&paced, PartitionId(0)));
            let (a, b) = (read_all(&seven, PartitionId(0)), read_all(&eight, PartitionId(0)));
            let column = value_names(process)[0];
            assert!(values(&a, column).iter().zip(values(&b, column)).all(|(a, b)| a != b));
        }
    }

    /// Bits that must never change, on any machine: a restart in the middle of a stream relies on
    /// them.
    #[test]
    fn the_bits_are_pinned() {
        let digest = |process| {
            let rows = rows(&read_all(&plan(process, 5, 20_000, 1), PartitionId(0)));
            rows.iter().fold(0, |hash, (time_us, _, bits)| {
                bits.iter().fold(split_mix(hash ^ *time_us as u64), |hash, bits| split_mix(hash ^ bits))
            })
        };
        assert_eq!(BOTH.map(digest), [6_645_691_862_810_187_373, 6_706_354_196_330_832_790]);
    }

    #[test]
    fn time_never_goes_back() {
        for process in BOTH {
            for partition in (0..3).map(PartitionId) {
                let batch = read_all(&plan(process, 10, 5000, 3), partition);
                assert!(times(&batch).is_sorted());
                assert!(times(&batch)[0] >= START_US);
            }
        }
    }

    #[test]
    fn market_gaps_are_irregular_and_a_second_long() {
        let batch = read_all(&plan(Process::Market, 1, 50_000, 1), PartitionId(0));
        let gaps: Vec<f64> = times(&batch).windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
        assert!(gaps.iter().all(|gap_s| *gap_s > 0.0));
        let gap_s = mean(gaps.iter().copied());
        let variance = mean(gaps.iter().map(|gap| (gap - gap_s).powi(2)));
        assert!((gap_s - 1.0).abs() < 0.02, "{gap_s}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn weather_comes_every_ten_minutes() {
        let batch = read_all(&plan(Process::Weather, 2, 100, 1), PartitionId(0));
        let expected: Vec<i64> = (0..100).map(|row| START_US + row / 2 * 600_000_000).collect();
        assert_eq!(times(&batch), expected);
    }

    #[test]
    fn partitions_only_deal_out_the_series() {
        for process in BOTH {
            // 2 of the 5 partitions have no series when there are 3.
            for (series, ticks) in [(10, 1009), (3, 100), (10, 7), (4, 0)] {
                let alone = rows(&read_all(&plan(process, series, ticks, 1), PartitionId(0)));
                assert_eq!(alone.len() as u64, ticks);
                let shared = plan(process, series, ticks, 5);
                let mut dealt = Vec::new();
                for partition in (0..5).map(PartitionId) {
                    let part = rows(&read_all(&shared, partition));
                    let number = |name: &str| name[1..].parse::<i32>().unwrap();
                    assert!(part.iter().all(|(_, name, _)| number(name) % 5 == partition.0));
                    dealt.extend(part);
                }
                // Stable, and the series of one time stand in the order of their numbers.
                dealt.sort();
                assert_eq!(alone, dealt);
            }
        }
    }

    #[test]
    fn every_series_is_its_own() {
        let batch = read_all(&plan(Process::Market, 2, 20_000, 1), PartitionId(0));
        let names = batch["series"].as_string::<i32>();
        let returns = [0, 1].map(|number| {
            let wanted = format!("s{number:05}");
            let of_it =
                names.iter().zip(values(&batch, "price")).filter(|(name, _)| *name == Some(wanted.as_str()));
            log_returns(&of_it.map(|(_, price)| *price).collect::<Vec<_>>())
        });
        let cross = mean(returns[0].iter().zip(&returns[1]).map(|(a, b)| a * b));
        let variance = mean(returns.iter().flatten().map(|r| r * r));
        assert!((cross / variance).abs() < 0.05, "{}", cross / variance);
    }

    #[test]
    fn the_market_has_regimes() {
        let batch = read_all(&plan(Process::Market, 1, 100_000, 1), PartitionId(0));
        let returns = log_returns(values(&batch, "price"));
        let squares: Vec<f64> = returns.iter().map(|r| r * r).collect();
        let variance = mean(squares.iter().copied());
        let kurtosis = mean(squares.iter().map(|s| s * s)) / (variance * variance);
        assert!(kurtosis > 4.0, "{kurtosis}");
        // Volatility clusters: |r| of ticks 20 apart go together, r do not.
        let sizes: Vec<f64> = returns.iter().map(|r| r.abs()).collect();
        assert!(correlation(&sizes, 20) > 0.1, "{}", correlation(&sizes, 20));
        assert!(correlation(&returns, 20).abs() < 0.05, "{}", correlation(&returns, 20));
    }

    fn correlation(values: &[f64], lag: usize) -> f64 {
        let center = mean(values.iter().copied());
        let covariance = mean(values.iter().zip(&values[lag..]).map(|(a, b)| (a - center) * (b - center)));
        covariance / mean(values.iter().map(|v| (v - center).powi(2)))
    }

    #[test]
    fn the_weather_has_years_and_days() {
        // Two years of one place.
        let batch = read_all(&plan(Process::Weather, 1, 2 * 52_596, 1), PartitionId(0));
        let ticks = || times(&batch).iter().map(|t| t - START_US).zip(values(&batch, "temp").iter().copied());
        let in_days = |from: i64, to: i64| {
            let days = from * DAY_US..to * DAY_US;
            mean(ticks().filter(|(t, _)| days.contains(&(t % YEAR_US))).map(|(_, temp)| temp))
        };
        let at_hour = |hour: i64| {
            mean(ticks().filter(|(t, _)| t % DAY_US / (DAY_US / 24) == hour).map(|(_, temp)| temp))
        };
        assert!(in_days(190, 225) - in_days(10, 45) > 12.0, "{} {}", in_days(190, 225), in_days(10, 45));
        assert!(at_hour(15) - at_hour(3) > 6.0, "{} {}", at_hour(15), at_hour(3));
    }

    #[test]
    fn values_are_finite_and_in_range() {
        for process in BOTH {
            let batch = read_all(&plan(process, 50, 200_000, 1), PartitionId(0));
            for name in value_names(process) {
                let column = values(&batch, name);
                let range = match *name {
                    "price" => 1e-3..1e6,
                    "size" => 1.0..1e6,
                    "temp" => -60.0..70.0,
                    "humid" => 5.0..100.1,
                    _ => 0.0..150.0,
                };
                assert!(column.iter().all(|value| value.is_finite() && range.contains(value)), "{name}");
            }
        }
    }
}
