//! The binary as a process of its own: started, signalled, killed, what it printed and what it
//! serves. The file must not know what the pipeline does.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use super::wait::{PATIENCE, wait_for, wait_till, wait_until};

/// The binary, not started yet.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
    command.env_remove("FAILPOINTS");
    command
}

/// The binary with so many files open at most.
pub fn binary_with_files(most: u32) -> Command {
    let mut command = Command::new("sh");
    let limited = format!("ulimit -n {most} && exec \"$0\" \"$@\"");
    command.args(["-c", &limited]).arg(env!("CARGO_BIN_EXE_tickcast")).env_remove("FAILPOINTS");
    command
}

/// `tickcast VERB PIPELINE MORE…`, to its end.
pub fn tickcast(verb: &str, pipeline: &Path, more: &[&str]) -> Output {
    binary().arg(verb).arg(pipeline).args(more).output().unwrap()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Sends a signal: `INT`, `TERM`, `STOP` or `CONT`.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(sent.unwrap().success(), "kill -{name}");
}

/// How an instance is to be started.
#[derive(Clone, Default)]
pub struct StartFrom {
    /// `key.path=value` over the pipeline file.
    pub sets: Vec<String>,
    /// What of the environment `FAILPOINTS` is to say.
    pub fail_points: Option<String>,
    /// Arguments of `run` after the file.
    pub args: Vec<&'static str>,
    /// How many files it may have open.
    pub files: Option<u32>,
}

impl StartFrom {
    pub fn sets(sets: &[&str]) -> StartFrom {
        StartFrom { sets: sets.iter().map(|&set| set.to_owned()).collect(), ..StartFrom::default() }
    }

    /// It serves on a port that it chooses: [`Instance::http`] is where.
    pub fn serving() -> StartFrom {
        Self::sets(&["serve.http=127.0.0.1:0"])
    }

    pub fn fail_points(points: &str) -> StartFrom {
        StartFrom { fail_points: Some(points.to_owned()), ..StartFrom::default() }
    }
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
        let mut command = start.files.map_or_else(binary, binary_with_files);
        command.arg("run").arg(pipeline).args(&start.args);
        // The machine that a pipeline's instances share is the folder of its file.
        command.env("XDG_STATE_HOME", pipeline.parent().unwrap());
        start.sets.iter().for_each(|set| _ = command.args(["--set", set]));
        if let Some(points) = &start.fail_points {
            command.env("FAILPOINTS", points);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Instance { child, log: log.to_owned(), from }
    }

    /// `TERM`, `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Changes how many files it may have open; those beyond stay open.
    pub fn limit_files(&self, most: u64) {
        let pid = i32::try_from(self.child.id()).unwrap();
        let mut old = (0, 0);
        let resource = rlimit::Resource::NOFILE;
        rlimit::prlimit(pid, resource, None, Some((&mut old.0, &mut old.1))).unwrap();
        rlimit::prlimit(pid, resource, Some((most, old.1)), None).unwrap();
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
        wait_until(limit, || self.ended())
    }

    /// Insists that it is alive.
    #[track_caller]
    pub fn lives(&mut self) {
        let ended = self.ended();
        assert!(ended.is_none(), "it ended, {ended:?}:\n{}", self.last_words());
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

    /// Waits until it has partitions: one that is on its way into a group would not leave it in
    /// order.
    pub fn await_share(&self) {
        wait_till("its share of the partitions", || self.said().contains("assigned"));
    }

    /// Asks for an orderly end and insists on it: exit code 0.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.has_stopped();
    }

    /// Insists that the orderly end that was asked for comes: exit code 0.
    #[track_caller]
    pub fn has_stopped(&mut self) {
        self.ends_with(0, "after SIGTERM");
    }

    /// Insists that it comes to its end by itself: exit code 0.
    #[track_caller]
    pub fn finishes(&mut self) {
        self.ends_with(0, "at the end of its input");
    }

    /// Insists that it ends by itself with exit code 1, and returns what it said.
    #[track_caller]
    pub fn fails(&mut self) -> String {
        self.ends_with(1, "by itself");
        self.said()
    }

    /// Insists that it dies of SIGABRT, as a fail point makes it do.
    #[track_caller]
    pub fn aborts(&mut self) {
        let signal = self.ended_within(PATIENCE).and_then(|status| status.signal());
        assert_eq!(signal, Some(6), "{}", self.last_words());
    }

    #[track_caller]
    fn ends_with(&mut self, code: i32, when: &str) {
        let asked = Instant::now();
        let ended = self.ended_within(PATIENCE);
        let found = ended.map(|status| (status.code(), status.signal()));
        let took = asked.elapsed();
        assert_eq!(found, Some((Some(code), None)), "{when}, {took:?}:\n{}", self.last_words());
    }

    /// The address it serves on, where the pipeline chose port 0.
    pub fn http(&self) -> String {
        wait_for("its HTTP server", || {
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

/// The whole answer to a GET.
pub fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub fn is_ready(address: &str) -> bool {
    get(address, "/ready").starts_with("HTTP/1.1 200")
}

/// Whether it is up, not ready, and gives this as a reason.
pub fn is_waiting_for(address: &str, reason: &str) -> bool {
    let ready = get(address, "/ready");
    ready.starts_with("HTTP/1.1 503") && ready.contains(reason)
}
