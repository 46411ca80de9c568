//! Which files a path stands for: itself, those of a directory, or those of a pattern, in their
//! order.
//! It must not open a file.

use std::fs;
use std::path::{Component, Path, PathBuf};

use tickcast_stream::error::{Error, Kind, OrFail, Result};

use super::file_spec::{FileFormat, FileSourceSpec};
use super::name_order::by_name;
use super::name_pattern::{is_pattern, matches};

/// So many files may be one source: how many are read is part of every commit.
const FILES_MAX: usize = 60_000;
/// So many are named in the log.
const NAMED: usize = 100;

/// A file that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedFile {
    pub(super) path: PathBuf,
    /// Below what all of them are in: with the directory it may move.
    pub(super) name: String,
    pub(super) format: FileFormat,
}

/// What a path stands for.
#[derive(Debug)]
pub(super) enum Listing {
    One(ListedFile),
    Many(Vec<ListedFile>),
}

impl Listing {
    /// Errors: `Source`, when there is none of a pattern or in a directory, when one of them is of
    /// another format than the others, or of none that is known.
    pub(super) fn of(spec: &FileSourceSpec) -> Result<Self> {
        let path = &spec.path;
        let is_one =
            spec.is_stdin() || path.is_file() || !(path.is_dir() || is_pattern(&path.to_string_lossy()));
        if is_one {
            let name = path.display().to_string();
            return Ok(Listing::One(ListedFile { path: path.clone(), name, format: spec.format }));
        }

        let (base, mut found) = if path.is_dir() {
            (path.clone(), entries(path)?.into_iter().filter(|found| !found.is_dir()).collect())
        } else {
            of_pattern(path)?
        };

        let passed = pass_over(&mut found);
        let mut files = Vec::with_capacity(found.len());
        for path in found {
            let name = path.strip_prefix(&base).unwrap_or(&path).display().to_string();
            let format = format_of(&path, spec.format)?;
            files.push(ListedFile { path, name, format });
        }
        files.sort_by(|left, right| by_name(&left.name, &right.name));

        check(&files, path)?;
        tell(&files, &passed, path);
        Ok(Listing::Many(files))
    }

    /// The same without a word, for what only asks for the format. None: that cannot be told.
    pub(super) fn format(spec: &FileSourceSpec) -> Option<FileFormat> {
        if spec.format != FileFormat::ByName {
            return Some(spec.format);
        }
        let found =
            if spec.path.is_dir() { entries(&spec.path) } else { of_pattern(&spec.path).map(|of| of.1) };
        found.ok()?.iter().find_map(|path| FileFormat::of_name(&path.to_string_lossy()))
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let fail = || format!("cannot read the directory {}", directory.display());
    let entries = fs::read_dir(directory).or_fail(Kind::Source, fail)?;
    entries.map(|entry| Ok(entry.or_fail(Kind::Source, fail)?.path())).collect()
}

/// The directory that all are in, and the files of a pattern. A name that is there as it is written
/// is no pattern.
fn of_pattern(pattern: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    let components: Vec<Component<'_>> = pattern.components().collect();
    let (mut base, mut found) = (PathBuf::new(), None::<Vec<PathBuf>>);
    for (at, component) in components.iter().enumerate() {
        let is_last = at + 1 == components.len();
        let name = component.as_os_str().to_string_lossy();

        let is_literal = |of: &PathBuf| !is_pattern(&name) || of.join(component).exists();
        found = Some(match found {
            None if is_literal(&base) => {
                base.push(component);
                continue;
            }
            None if !base.is_dir() => Vec::new(),
            None => matching(&base, &name, is_last)?,
            Some(found) => {
                let mut next = Vec::new();
                for directory in found {
                    if is_literal(&directory) {
                        let path = directory.join(component);
                        next.extend((is_last && path.is_file() || !is_last && path.is_dir()).then_some(path));
                    } else {
                        next.extend(matching(&directory, &name, is_last)?);
                    }
                }
                next
            }
        });
    }

    Ok((base, found.unwrap_or_default()))
}

/// What in a directory has a name of the pattern: files, or directories on the way to them.
fn matching(directory: &Path, pattern: &str, is_last: bool) -> Result<Vec<PathBuf>> {
    let mut found = entries(directory)?;
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_hidden = name.starts_with('.') && !pattern.starts_with('.') && !is_last;
        path.is_dir() != is_last && !is_hidden && matches(pattern, &name)
    });
    Ok(found)
}

/// Takes out what is no data by its name: hidden files, half written ones, and those in which other
/// programs keep notes.
fn pass_over(found: &mut Vec<PathBuf>) -> Vec<String> {
    let is_data = |name: &str| {
        let is_note = name.starts_with('_') && FileFormat::of_name(name).is_none();
        !name.starts_with('.') && !name.to_ascii_lowercase().ends_with(".tmp") && !is_note
    };
    let mut passed = Vec::new();
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_data = is_data(&name);
        passed.extend((!is_data).then(|| name.into_owned()));
        is_data
    });

    passed.sort();
    passed
}

fn format_of(path: &Path, said: FileFormat) -> Result<FileFormat> {
    let known = FileFormat::of_name(&path.to_string_lossy());
    let format = known.or((said != FileFormat::ByName).then_some(said));
    format.ok_or_else(|| {
        let what = format!(
            "{}: its name does not tell its format; name the files to read by a pattern like *.csv, or add source.format",
            path.display()
        );
        Error::new(Kind::Source, what)
    })
}

fn check(files: &[ListedFile], path: &Path) -> Result<()> {
    let refuse = |what: String| Err(Error::new(Kind::Source, what));

    let Some(first) = files.first() else {
        let what = if path.is_dir() { "no file is in the directory" } else { "no file matches" };
        return refuse(format!("{what} {}", path.display()));
    };
    if let Some(other) = files.iter().find(|file| file.format != first.format) {
        return refuse(format!(
            "{} and {} are of different formats: files that are read together have to be of one; name them by a pattern \
             like *.csv",
            first.path.display(),
            other.path.display()
        ));
    }
    if files.len() > FILES_MAX {
        return refuse(format!(
            "{} stands for {} files; {FILES_MAX} are allowed",
            path.display(),
            files.len()
        ));
    }
    Ok(())
}

fn tell(files: &[ListedFile], passed: &[String], path: &Path) {
    let shown = |names: Vec<&str>| {
        let rest = names.len().saturating_sub(NAMED);
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        format!("{}{more}", names[..names.len() - rest].join(", "))
    };
    let names = shown(files.iter().map(|file| file.name.as_str()).collect());
    tracing::info!("{}: {} files are read, in this order: {names}", path.display(), files.len());
    if !passed.is_empty() {
        let passed = shown(passed.iter().map(String::as_str).collect());
        tracing::info!("{}: passed over are {passed}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::decode::CsvSpec;
    use crate::source::{FileEnd, FileOrder};

    fn dir(names: &[&str]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        dir
    }

    fn listed(path: PathBuf, format: FileFormat) -> std::result::Result<Vec<String>, String> {
        let (csv, end, order) = (CsvSpec::default(), FileEnd::Close, FileOrder::Arrival);
        match Listing::of(&FileSourceSpec { path, format, csv, end, order })
            .map_err(|error| error.to_string())?
        {
            Listing::One(file) => Ok(vec![file.path.file_name().unwrap().to_string_lossy().into_owned()]),
            Listing::Many(files) => Ok(files.into_iter().map(|file| file.name).collect()),
        }
    }

    #[test]
    fn a_directory_and_a_pattern_are_their_files_in_order() {
        let dir = dir(&[
            "in [a]/x-10.csv",
            "in [a]/x-9.csv.gz",
            "in [a]/.hidden.csv",
            "in [a]/x-11.csv.tmp",
            "in [a]/_SUCCESS",
            "in [a]/below/y.csv",
        ]);
        let of = |path: &str, format| listed(dir.path().join(path), format);
        let expected = Ok(vec!["x-9.csv.gz".to_owned(), "x-10.csv".to_owned()]);
        assert_eq!(of("in [a]", FileFormat::ByName), expected);
        assert_eq!(of("in [a]/", FileFormat::ByName), expected);
        assert_eq!(of("in [a]/*.csv*", FileFormat::Csv), expected);
        assert_eq!(of("in*/x*", FileFormat::ByName).unwrap(), ["in [a]/x-9.csv.gz", "in [a]/x-10.csv"]);
        assert_eq!(of("*/below/*.csv", FileFormat::Csv).unwrap(), ["in [a]/below/y.csv"]);
        assert_eq!(of("in [a]/x-10.csv", FileFormat::Csv).unwrap(), ["x-10.csv"]);
    }

    #[test]
    fn what_cannot_be_read_together_is_refused_by_name() {
        let dir = dir(&["a/x.csv", "a/y.ndjson", "b/x.csv", "b/README.md", "c/.x", "d/part-0", "d/part-1"]);
        let of = |path: &str, format| listed(dir.path().join(path), format);
        let mixed = of("a", FileFormat::ByName).unwrap_err();
        assert!(
            mixed.contains("a/x.csv and ") && mixed.contains("a/y.ndjson are of different formats"),
            "{mixed}"
        );
        let unknown = of("b", FileFormat::ByName).unwrap_err();
        assert!(unknown.contains("b/README.md: its name does not tell its format"), "{unknown}");
        for (path, why) in [
            ("c", "no file is in the directory"),
            ("*/*.parquet", "no file matches"),
            ("e/*", "no file matches"),
        ] {
            let none = of(path, FileFormat::ByName);
            assert!(none.clone().is_err_and(|said| said.contains(why) && said.contains(path)), "{none:?}");
        }
        assert_eq!(of("d", FileFormat::Csv).unwrap(), ["part-0", "part-1"]);
    }
}
