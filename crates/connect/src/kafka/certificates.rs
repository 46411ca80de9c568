//! The files of certificates, keys and authorities that clients read when they are made: whether
//! they have changed, and whether a client with the new ones is let in.
//! It must not know what a run does then, nor show what is in a file.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use super::cluster::Cluster;
use super::spec::KafkaClientSpec;

/// Properties that are paths of such files.
const FILES: [&str; 5] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
];

/// What is in each file, as a number; none: it cannot be read.
type Contents = BTreeMap<String, Option<u64>>;

/// What has become of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateNews {
    /// These properties' files are others, and with them clients are let in.
    Usable(String),
    /// They are others, and cannot be used: why.
    Unusable(String),
}

/// The files of all clients of a run, as they were when it began.
#[derive(Debug)]
pub struct CertificateFiles {
    /// The clients, each with a topic that it can be asked for.
    clients: Vec<(KafkaClientSpec, String)>,
    in_use: Contents,
    /// What was found last, where it is not what is in use.
    found: Option<Contents>,
    /// What was said of it.
    said: Option<String>,
}

impl CertificateFiles {
    /// Those of clients that are about to be made, each with one of its topics: in this order no
    /// change is missed. None, where there are no such files.
    pub fn of(clients: impl IntoIterator<Item = (KafkaClientSpec, String)>) -> Option<Self> {
        let mut distinct: Vec<(KafkaClientSpec, String)> = Vec::new();
        for (client, topic) in clients {
            if !files_of(&client).is_empty() && distinct.iter().all(|(known, _)| *known != client) {
                distinct.push((client, topic));
            }
        }
        if distinct.is_empty() {
            return None;
        }

        let in_use = contents(&distinct);
        Some(CertificateFiles { clients: distinct, in_use, found: None, said: None })
    }

    /// Looks at the files. What is found twice in a row is tried: a file may be half written. It
    /// may take as long as a broker takes to answer. None: nothing is new, or to be said again.
    pub fn look(&mut self) -> Option<CertificateNews> {
        let now = contents(&self.clients);
        if now == self.in_use {
            (self.found, self.said) = (None, None);
            return None;
        }
        if self.found.as_ref() != Some(&now) {
            self.found = Some(now);
            return None;
        }

        let changed = changed(&self.in_use, &now);
        if let Err(why) = self.clients.iter().try_for_each(|(client, topic)| let_in(client, topic)) {
            let said = Some(format!("{changed}: {why}"));
            let is_new = self.said != said;
            self.said = said;
            return self.said.clone().filter(|_| is_new).map(CertificateNews::Unusable);
        }

        (self.found, self.said) = (None, None);
        self.in_use = now;
        Some(CertificateNews::Usable(changed))
    }
}

/// Whether a client with the files as they are now is let in.
fn let_in(client: &KafkaClientSpec, topic: &str) -> Result<(), String> {
    let cluster = Cluster::open(client).map_err(|error| error.to_string())?;
    cluster.partition_count(topic).map(drop)
}

fn files_of(client: &KafkaClientSpec) -> Vec<(&'static str, &str)> {
    let path = |name| client.property(name).filter(|path| *path != "probe");
    FILES.into_iter().filter_map(|name| Some((name, path(name)?))).collect()
}

fn contents(clients: &[(KafkaClientSpec, String)]) -> Contents {
    let files = clients.iter().flat_map(|(client, _)| files_of(client));
    files.map(|(name, path)| (format!("{name} {path}"), content(Path::new(path)))).collect()
}

/// A number that is another one where the content is.
fn content(path: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    if path.is_dir() {
        // Of authorities, one a file.
        let mut files: Vec<_> = fs::read_dir(path).ok()?.flatten().map(|entry| entry.path()).collect();
        files.sort();
        files.iter().for_each(|file| (file, fs::read(file).ok()).hash(&mut hasher));
    } else {
        fs::read(path).ok()?.hash(&mut hasher);
    }
    Some(hasher.finish())
}

/// The properties whose files are not the same.
fn changed(before: &Contents, now: &Contents) -> String {
    let others = now.iter().filter(|(file, content)| before.get(*file) != Some(content));
    let mut names: Vec<&str> = others.filter_map(|(file, _)| file.split(' ').next()).collect();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(properties: &[(&str, &Path)]) -> (KafkaClientSpec, String) {
        let properties =
            properties.iter().map(|(name, path)| ((*name).to_owned(), path.display().to_string()));
        let mut properties: Vec<_> = properties.collect();
        properties.push(("security.protocol".to_owned(), "SSL".to_owned()));
        let brokers = "127.0.0.1:9".to_owned();
        (KafkaClientSpec { brokers, properties, ..KafkaClientSpec::default() }, "in".to_owned())
    }

    #[test]
    fn clients_without_files_are_not_watched() {
        assert!(CertificateFiles::of([client(&[])]).is_none());
        assert!(CertificateFiles::of([client(&[("ssl.ca.location", Path::new("probe"))])]).is_none());
    }

    #[test]
    fn files_that_cannot_be_used_are_told_once_and_what_they_were_before_is_no_news() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        fs::write(&ca, "before").unwrap();
        let mut files = CertificateFiles::of([client(&[("ssl.ca.location", &ca)])]).unwrap();
        assert_eq!(files.look(), None);

        fs::write(&ca, "half").unwrap();
        assert_eq!(files.look(), None, "it may be half written");
        let Some(CertificateNews::Unusable(why)) = files.look() else { panic!("{files:?}") };
        assert!(why.starts_with("ssl.ca.location: "), "{why}");
        assert_eq!(files.look(), None, "it was told");
        fs::remove_file(&ca).unwrap();
        assert_eq!(files.look(), None);
        assert!(matches!(files.look(), Some(CertificateNews::Unusable(_))));
        fs::write(&ca, "before").unwrap();
        assert_eq!((files.look(), files.look()), (None, None));
    }
}
