//! A real MQTT broker (Debian's mosquitto) on a port of its own. The file must not know who
//! subscribes.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::broker::skip;
use super::wait::wait_till;

/// A broker; killed when it is dropped.
pub struct Mosquitto {
    dir: TempDir,
    pub port: u16,
    child: Option<Child>,
}

/// None, with a word why, where there is no mosquitto.
pub fn mosquitto_or_skip(settings: &str) -> Option<Mosquitto> {
    // A user whom nobody can be: its password is none.
    Mosquitto::with_files(settings, &[("users", "nobody:$7$101$AAAA$AAAA\n".to_owned())])
}

impl Mosquitto {
    /// With these files beside its settings, in which DIR is where they are.
    pub fn with_files(settings: &str, files: &[(&str, String)]) -> Option<Mosquitto> {
        if Command::new("mosquitto").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            return skip("there is no mosquitto here");
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let mut broker = Mosquitto { dir, port, child: None };
        files.iter().for_each(|(name, text)| _ = broker.write(name, text));
        let place = broker.path("").display().to_string();
        let settings = settings.replace("DIR", &place);
        let user = "user root\npersistence true\nautosave_on_changes true\nautosave_interval 1\nmax_queued_messages 0\n";
        broker.write(
            "conf",
            &format!("listener {port} 127.0.0.1\n{settings}\n{user}persistence_location {place}/\n"),
        );
        broker.start();
        Some(broker)
    }
}

impl Mosquitto {
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it, and waits until it listens.
    pub fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(self.path("conf")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        wait_till("that the MQTT broker listens", || TcpStream::connect(self.address()).is_ok());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Publishes lines with quality of service 1, and returns when the broker has them all.
    pub fn publish(&self, topic: &str, more: &[&str], lines: &[String]) {
        let mut command = Command::new("mosquitto_pub");
        let port = self.port.to_string();
        command.args(["-h", "127.0.0.1", "-p", &port, "-t", topic, "-q", "1", "-l"]).args(more);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        lines.iter().for_each(|line| writeln!(input, "{line}").unwrap());
        drop(input);
        assert!(child.wait().unwrap().success(), "mosquitto_pub {topic}");
    }

    /// Publishes the whole of a file as one message.
    pub fn publish_file(&self, topic: &str, file: &str) {
        let port = self.port.to_string();
        let arguments = ["-h", "127.0.0.1", "-p", &port, "-t", topic, "-q", "1", "-f", file];
        assert!(Command::new("mosquitto_pub").args(arguments).status().unwrap().success());
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}
