//! Times the online learner, one step of every series: predict, label, learn.
//! It must not know how it learns.
//!
//!     cargo run --release -p tickcast-model --example learner_time -- lstm 8 32 16 1
//!
//! Arguments: cell, inputs, hidden, steps of the window, series. Prints one line of JSON: least and
//! median microseconds a step of one series.

#![allow(clippy::expect_used, reason = "a tool for a person fails by a panic")]

#[path = "../benches/common/mod.rs"]
mod common;

use common::clock::time;
use common::online::Online;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args[at].parse::<usize>().expect("a number");
    let series = number(4);
    let mut online = Online::plain(common::cell(&args[0]), number(1), number(2), number(3), series);
    let times = time(|| online.round());
    let us = |seconds: f64| seconds * 1e6 / series as f64;
    println!("{{\"least_us\":{:.3},\"median_us\":{:.3}}}", us(times.least), us(times.median));
}
