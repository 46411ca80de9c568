//! Times one training step of a network: forward, backward through time, Adam.
//! It must not know how a step is made.
//!
//!     cargo run --release -p tickcast-model --example step_time -- lstm 8 32 16 8
//!
//! Arguments: cell, inputs, hidden, steps, batch; or the one word `peak`. Prints one line of JSON:
//! least and median microseconds a step, GFLOP/s at the least; or the GFLOP/s of the core's
//! multiply-adds.

#![allow(clippy::expect_used, reason = "a tool for a person fails by a panic")]

#[path = "../benches/common/mod.rs"]
mod common;

use common::clock::time;
use common::training::{Shape, Training};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args[0] == "peak" {
        println!("{{\"gflops\":{:.1}}}", common::peak::flops() / 1e9);
        return;
    }

    let number = |at: usize| args[at].parse::<usize>().expect("a number");
    let shape = Shape {
        cell: common::cell(&args[0]),
        inputs: number(1),
        hidden: number(2),
        steps: number(3),
        batch: number(4),
    };

    let mut training = Training::new(shape);
    let times = time(|| training.step());

    println!(
        "{{\"least_us\":{:.3},\"median_us\":{:.3},\"gflops\":{:.1}}}",
        times.least * 1e6,
        times.median * 1e6,
        shape.flop() as f64 / times.least / 1e9
    );
}
