//! Any bytes as a weights file: an error or finite weights, never a panic, never memory beyond a
//! few times their length.
//! It must not know the format; the first byte chooses the network, so that one corpus serves all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickcast_model::{Activation, CellKind, NetworkSpec, ParameterLayout, file};

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let spec = NetworkSpec {
        cell: [CellKind::Rnn, CellKind::Lstm, CellKind::Gru][usize::from(choice % 3)],
        activation: [Activation::Tanh, Activation::Relu][usize::from(choice / 3 % 2)],
        inputs: 3,
        hidden: 4,
        layers: 1 + usize::from(choice / 6 % 2),
        outputs: 2,
        skip: choice / 12 % 2 == 0,
    };
    let metadata = file::metadata(bytes);
    if let Ok(params) = file::read(bytes, &spec) {
        assert_eq!(params.len(), ParameterLayout::new(&spec).len());
        assert!(params.iter().all(|value| value.is_finite()));
        let ours = file::write(&spec, &params, &metadata.expect("read, so readable")).expect("finite");
        assert_eq!(file::read(&ours, &spec).expect("its own"), params);
    }
});
