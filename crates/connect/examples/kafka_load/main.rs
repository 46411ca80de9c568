//! Kafka for benches/e2e: fills topics with ticks, reads and copies them as fast as librdkafka
//! does, waits for results, and sends ticks at a steady rate.
//! It must not know who makes the results.
//!
//!     cargo run --release -p tickcast-connect --example kafka_load -- VERB BROKERS ARGUMENTS
//!
//! | verb | arguments | does |
//! |---|---|---|
//! | `create` | topic, partitions | makes the topic |
//! | `fill` | topic, partitions, series, ticks a series and window, windows | makes the topic, and sends ticks |
//! | `read` | topic, partitions, records | reads so many records in batches |
//! | `copy` | topic, partitions, records, other topic, every, bytes | reads, and writes a record of so many bytes for each `every` read |
//! | `watch` | topic, partitions, records | waits until so many committed records are there |
//! | `pace` | topic, partitions, series, ticks a second, window in ms, warm-up and measured seconds, topic of results, results a window and series | sends ticks, and measures how long each result takes |
//!
//! Each verb prints one line of JSON on standard output. Times are seconds of the Unix epoch.

#![allow(clippy::expect_used, reason = "a tool for a person fails by a panic")]

mod client;
mod pace;
mod raw;
mod ticks;
mod watch;

use std::str::FromStr;

/// The words of the command line, one after the other.
struct Words(std::vec::IntoIter<String>);

impl Words {
    fn text(&mut self) -> String {
        self.0.next().expect("another argument; the head of main.rs has them")
    }

    fn number<T: FromStr>(&mut self) -> T {
        let word = self.text();
        word.parse().ok().expect("a number")
    }
}

fn main() {
    let mut words = Words(std::env::args().skip(1).collect::<Vec<_>>().into_iter());
    let (verb, brokers) = (words.text(), words.text());
    let (topic, partitions) = (words.text(), words.number());
    let topic = client::Topic { brokers, name: topic, partitions };

    let said = match verb.as_str() {
        "create" => client::create(&topic),
        "fill" => ticks::fill(&topic, words.number(), words.number(), words.number()),
        "read" => raw::read(&topic, words.number()),
        "copy" => {
            let records = words.number();
            let copy = raw::Copy { to: words.text(), every: words.number(), bytes: words.number() };
            raw::copy(&topic, records, &copy)
        }
        "watch" => watch::watch(&topic, words.number()),
        "pace" => pace::pace(
            &topic,
            &pace::Load {
                series: words.number(),
                rate: words.number(),
                window_ms: words.number(),
                warm_up_s: words.number(),
                measured_s: words.number(),
                results: words.text(),
                results_a_series: words.number(),
            },
        ),
        other => panic!("no verb {other}"),
    };
    println!("{said}");
}
