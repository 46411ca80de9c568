//! The binary as a process of its own: started, signalled, killed, and what it said.
//! It must not know what the pipeline does.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long an orderly end may take, whatever it is doing.
pub const ORDERLY: Duration = Duration::from_secs(10);

/// How an instance is to be started.
#[derive(Clone, Default)]
pub struct StartFrom {
    /// `key.path=value` over the pipeline file.
    pub sets: Vec<String>,
    /// What of the environment `FAILPOINTS` is to say.
    pub fail_points: Option<String>,
    /// Arguments of `run` after the file.
    pub args: Vec<&'static str>,
}

/// `tickcast run`; killed when it is dropped.
pub struct Instance {
    child: Child,
    log: PathBuf,
    /// Where this life's lines begin in the log.
    from: u64,
}

impl Instance {
    /// Runs a pipeline file; what it says goes to the end of `log`.
    pub fn start(pipeline: &Path, log: &Path, start: &StartFrom) -> Instance {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let from = file.metadata().unwrap().len();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
        command.arg("run").arg(pipeline).args(&start.args);
        start.sets.iter().for_each(|set| _ = command.args(["--set", set]));
        command.env_remove("FAILPOINTS");
        if let Some(points) = &start.fail_points {
            command.env("FAILPOINTS", points);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Instance { child, log: log.to_owned(), from }
    }

    /// `TERM`, `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success(), "kill -{name}");
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// How it ended within this time.
    pub fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            let ended = self.ended();
            if ended.is_some() || Instant::now() > until {
                return ended;
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// What it has said in this life.
    pub fn said(&self) -> String {
        let bytes = fs::read(&self.log).unwrap();
        String::from_utf8_lossy(&bytes[(self.from as usize).min(bytes.len())..]).into_owned()
    }

    /// The end of what it has said.
    pub fn last_words(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// Asks for an orderly end and insists on it: exit code 0 in less than ten seconds.
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.has_stopped();
    }

    /// Insists that what was asked for comes: exit code 0 in less than ten seconds.
    pub fn has_stopped(&mut self) {
        let asked = Instant::now();
        let ended = self.ended_within(ORDERLY);
        let code = ended.map(|status| (status.code(), status.signal()));
        assert_eq!(
            code,
            Some((Some(0), None)),
            "{:?} after SIGTERM:\n{}",
            asked.elapsed(),
            self.last_words()
        );
    }

    /// Insists that it ends by itself with exit code 1, and returns what it said.
    pub fn fails_within(&mut self, limit: Duration) -> String {
        let ended = self.ended_within(limit);
        let code = ended.map(|status| (status.code(), status.signal()));
        assert_eq!(code, Some((Some(1), None)), "within {limit:?}:\n{}", self.last_words());
        self.said()
    }

    /// The address it serves on, where the pipeline chose port 0.
    pub fn http(&self) -> String {
        wait_for("its HTTP server", Duration::from_secs(60), || {
            let said = self.said();
            let (_, address) = said.split_once("http://")?;
            let address = address.split_whitespace().next()?;
            said.contains(&format!("{address}\n")).then(|| address.to_owned())
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What `look` sees, once it sees something.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "{what}: not within {limit:?}");
        sleep(Duration::from_millis(20));
    }
}
