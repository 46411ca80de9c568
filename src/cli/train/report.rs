//! What a training says: the progress bar on stderr, the losses by epoch on stdout.
//! It must not decide anything.

use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use tickcast_model::{EpochReport, TrainedNetwork, TrainingEnd, TrainingProgress};

use crate::cli::progress::styled;

/// Shows how far training is: a bar, or a log line an epoch where no terminal shows bars.
pub struct Bar {
    bar: ProgressBar,
    best: f64,
    losses: String,
}

impl Bar {
    /// A bar for at most so many epochs.
    pub fn new(epochs: usize) -> Self {
        let bar = ProgressBar::new(epochs as u64);
        let bar = styled(bar, "{bar:30} epoch {pos}/{len}  {elapsed}  {wide_msg}");
        Bar { bar, best: f64::INFINITY, losses: String::new() }
    }

    /// Takes in the newest progress.
    pub fn show(&mut self, progress: &TrainingProgress<'_>) {
        match progress {
            TrainingProgress::Updates { done, of } => {
                self.bar.set_message(format!("{}  update {done}/{of}", self.losses));
            }
            TrainingProgress::Epoch(epoch) => {
                self.best = self.best.min(epoch.held_out);
                let (held_out, best) = (epoch.held_out, self.best);
                let train = epoch.train.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.4}"));
                self.losses = format!("train {train}  held out {held_out:.4}  best {best:.4}");
                self.bar.set_message(self.losses.clone());
                self.bar.set_position(epoch.number as u64);
                if self.bar.is_hidden() {
                    tracing::info!(epoch = epoch.number, lr = epoch.lr, "{}", self.losses);
                }
            }
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// The losses by epoch, why it ended, and where the weights are.
pub fn table(trained: &TrainedNetwork, took: Duration, file: &Path) -> String {
    let mut text = String::from("epoch     train  held out\n");
    for epoch in &trained.history {
        text.push_str(&line(epoch, epoch.number == trained.best));
    }

    let best = &trained.history[trained.best];
    let epochs = trained.history.len() - 1;
    let why = match trained.ended {
        TrainingEnd::Converged => format!("converged: no better since epoch {}", trained.best),
        TrainingEnd::Epochs => "all epochs are done".to_owned(),
        TrainingEnd::Stopped => "stopped by a signal".to_owned(),
    };

    let gain = 100.0 * (1.0 - best.held_out / trained.naive);
    text.push_str(&format!(
        "{why} ({epochs} epochs, {:.1} s); best epoch {}: held-out loss {:.4}, naive's {:.4} ({gain:.1} % less); weights in {}",
        took.as_secs_f64(),
        trained.best,
        best.held_out,
        trained.naive,
        file.display()
    ));

    if trained.skipped > 0 {
        text.push_str(&format!("\n{} steps were not finite and were not taken", trained.skipped));
    }
    if trained.best == 0 {
        text.push_str("\nno epoch was better than naive: the weights are the untrained ones");
    }
    text
}

fn line(epoch: &EpochReport, best: bool) -> String {
    let train = epoch.train.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.4}"));
    let mark = if best { "  best" } else { "" };
    format!("{:>5}  {train:>8}  {:>8.4}{mark}\n", epoch.number, epoch.held_out)
}

#[cfg(test)]
mod tests {
    use tickcast_model::NetworkSpec;

    use super::*;

    #[test]
    fn the_best_epoch_is_marked_and_compared_with_naive() {
        let epoch = |number, train, held_out| EpochReport { number, train, held_out, best: true, lr: 1e-3 };
        let spec = NetworkSpec {
            cell: tickcast_model::CellKind::Rnn,
            activation: tickcast_model::Activation::Tanh,
            inputs: 1,
            hidden: 1,
            layers: 1,
            outputs: 1,
            skip: false,
        };
        let trained = TrainedNetwork {
            params: tickcast_model::Network::new(spec).initial_params(1),
            history: vec![epoch(0, None, 0.5), epoch(1, Some(0.45), 0.4), epoch(2, Some(0.3), 0.42)],
            best: 1,
            naive: 0.5,
            ended: TrainingEnd::Converged,
            split: 0,
            skipped: 0,
        };
        let text = table(&trained, Duration::from_millis(1500), Path::new("w.safetensors"));
        let expected = "epoch     train  held out\n\
                        \x20   0         -    0.5000\n\
                        \x20   1    0.4500    0.4000  best\n\
                        \x20   2    0.3000    0.4200\n\
                        converged: no better since epoch 1 (2 epochs, 1.5 s); best epoch 1: held-out loss 0.4000, \
                        naive's 0.5000 (20.0 % less); weights in w.safetensors";
        assert_eq!(text, expected);
    }
}
