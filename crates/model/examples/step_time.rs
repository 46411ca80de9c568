//! Times one training step of a network: forward, backward through time, Adam.
//!
//!     cargo run --release -p tickcast-model --example step_time -- lstm 8 32 16 8
//!
//! Arguments: cell, inputs, hidden, steps, batch. Prints one line of JSON.

use std::time::Instant;

use tickcast_model::kernel::{Engine, Floats, Moments, Step};
use tickcast_model::{Activation, BETAS, Cell, Loss, NetworkSpec, Rule};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args[at].parse::<usize>().expect("a number");
    let cell = match args[0].as_str() {
        "rnn" => Cell::Rnn,
        "gru" => Cell::Gru,
        _ => Cell::Lstm,
    };
    let (inputs, hidden, steps, batch) = (number(1), number(2), number(3), number(4));
    let spec = NetworkSpec {
        cell,
        activation: Activation::Tanh,
        inputs,
        hidden,
        layers: 1,
        outputs: 1,
        skip: false,
    };
    let engine = Engine::new(spec);
    let mut tape = engine.tape();
    let mut params = Floats::from_slice(&engine.pack(&tickcast_model::Network::new(spec).initial_params(1)));
    let mut next = params.clone();
    let (mut ema, mut next_ema) = (params.clone(), params.clone());
    let (mut moments, mut next_moments) = (Moments::new(engine.len()), Moments::new(engine.len()));
    let mut gradient = Floats::zeros(engine.len());
    let mut step = || {
        tape.begin(steps, batch);
        for t in 0..steps {
            for b in 0..batch {
                for (k, x) in tape.input_mut(t, b).iter_mut().enumerate() {
                    *x = ((t * 31 + b * 17 + k * 7) % 13) as f32 / 13.0 - 0.5;
                }
            }
        }
        engine.forward(&params, &mut tape);
        let mut loss = 0.0;
        let weight = 1.0 / (steps * batch) as f32;
        for t in 0..steps {
            for b in 0..batch {
                let (output, slope) = tape.output_and_slope_mut(t, b);
                loss += Loss::Mse.add(output, 0.3, weight, slope);
            }
        }
        gradient.fill(0.0);
        engine.prepare_backward(&params, &mut tape);
        engine.backward(&params, &mut tape, &mut gradient);
        let norm = engine.norm(&gradient);
        engine.update(Step {
            rule: Rule::Adam { betas: BETAS },
            lr: 1e-3,
            scale: if norm > 1.0 { 1.0 / norm } else { 1.0 },
            ema_decay: 0.995,
            gradient: &gradient,
            params: (&params, &mut next),
            ema: (&ema, &mut next_ema),
            moments: (&moments, &mut next_moments),
        });
        std::mem::swap(&mut params, &mut next);
        std::mem::swap(&mut ema, &mut next_ema);
        std::mem::swap(&mut moments, &mut next_moments);
        loss
    };
    let warm = Instant::now();
    let mut runs = 0u32;
    while warm.elapsed().as_millis() < 200 {
        step();
        runs += 1;
    }
    let per_sample = (runs / 10).max(1);
    let mut times: Vec<f64> = (0..25)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..per_sample {
                std::hint::black_box(step());
            }
            start.elapsed().as_secs_f64() / f64::from(per_sample)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let seconds = times[0];
    // Products only: forward, back to the states, and to the weights.
    let gates = spec.gates() * hidden;
    let products = gates * (inputs + hidden) * 2 + gates * hidden + 3 * hidden;
    let flop = 2 * products * steps * batch;
    println!(
        "{{\"cell\":\"{}\",\"inputs\":{inputs},\"hidden\":{hidden},\"steps\":{steps},\"batch\":{batch},\"us\":{:.3},\"gflops\":{:.1}}}",
        args[0],
        seconds * 1e6,
        flop as f64 / seconds / 1e9
    );
}
