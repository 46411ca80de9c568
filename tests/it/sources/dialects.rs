//! CSV as it is found: other delimiters, decimal commas, no header, lines before it, other
//! characters, words for no value. Case 10, 11 and 16 of users.

use super::times::{pipeline, rejects, windows};
use crate::support::pipeline::TestPipeline;
use crate::support::process::{text, tickcast};

/// A run of `in.csv` with these keys of the source; what it says, and whether it ends well.
fn run(bench: &TestPipeline, settings: &[&str]) -> (bool, String) {
    let args: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let output = tickcast("run", &bench.file(), &args);
    (output.status.success(), text(&output.stderr).to_owned())
}

fn bench(bytes: impl AsRef<[u8]>) -> TestPipeline {
    let bench = pipeline("in.csv", "id", "t", "tumbling: 1m, gaps: skip", "v");
    bench.write("in.csv", bytes);
    bench
}

fn spoken(bench: &TestPipeline) -> Vec<f64> {
    windows(bench).into_iter().map(|(.., value)| value).collect()
}

/// So many rows, a minute each, with these values.
fn rows(header: &str, values: &[&str], delimiter: char) -> String {
    let row = |(n, value): (usize, &&str)| {
        format!("m{delimiter}2024-01-01 {:02}:{:02}:00{delimiter}{value}\n", n / 60, n % 60)
    };
    format!("{header}{}", values.iter().enumerate().map(row).collect::<String>())
}

/// Case 10: was "no column `id`. It has: id;t;v".
#[test]
fn delimiters_and_decimal_commas_are_found_and_told() {
    for (delimiter, said) in
        [(';', "separated by `;`"), ('\t', "separated by `\\t`"), ('|', "separated by `|`")]
    {
        let header = format!("id{delimiter}t{delimiter}v\n");
        let bench = bench(rows(&header, &["0,5", "1,25", "-3,0", "7"], delimiter));
        let (is_good, log) = run(&bench, &[]);
        assert!(is_good && log.contains(said) && log.contains("a decimal comma"), "{log}");
        assert_eq!(spoken(&bench), [0.5, 1.25, -3.0, 7.0]);
    }
}

#[test]
fn marks_that_are_said_are_not_looked_for() {
    let bench = bench(rows("id;t;v\n", &["1.234,5", "2.000", "12"], ';'));
    let marks = ["source.csv.delimiter=';'", "source.csv.decimal=','", "source.csv.thousands='.'"];
    assert!(run(&bench, &marks).0);
    assert_eq!(spoken(&bench), [1234.5, 2000.0, 12.0]);
    assert_eq!(rejects(&bench).len(), 0);

    // `1,234` may be either: nothing is guessed.
    let bench = self::bench(rows("id;t;v\n", &["1,234", "5"], ';'));
    assert!(run(&bench, &[]).0);
    let refused = rejects(&bench);
    assert_eq!((refused.len(), refused[0].2.as_str()), (1, "column `v`: `1,234` is no number"));
    let quoted = self::bench(rows("id,t,v\n", &["'a'", "'1'"], ',').replace("'a'", "'2'"));
    assert!(run(&quoted, &["source.csv.quote=\"'\""]).0);
    assert_eq!(spoken(&quoted), [2.0, 1.0]);
}

#[test]
fn a_file_without_a_header_is_refused_until_its_columns_have_names() {
    let text = rows("", &["1", "2", "3"], ',').replace("m,", "7,");
    let bench = pipeline("in.csv", "id", "{ column: t, unit: ms }", "tumbling: 1m, gaps: skip", "v");
    bench.write("in.csv", "7,1735687800000,100.5\n7,1735687860000,101.5\n");
    let (is_good, said) = run(&bench, &[]);
    assert!(
        !is_good && said.contains("has no header, it seems: its first row is `7,1735687800000,100.5`"),
        "{said}"
    );
    assert!(run(&bench, &["source.csv.header=[id, t, v]"]).0);
    assert_eq!(spoken(&bench), [100.5, 101.5]);

    let unnamed = pipeline("in.csv", "column_1", "column_2", "tumbling: 1m, gaps: skip", "column_3");
    unnamed.write("in.csv", text);
    assert!(run(&unnamed, &["source.csv.header=false"]).0);
    assert_eq!(spoken(&unnamed), [1.0, 2.0, 3.0]);
}

#[test]
fn lines_before_the_header_and_comments_are_passed_over() {
    let text = rows("Station 7\nmade by, \"a logger\nid,t,v\n", &["1", "2", "3"], ',')
        .replace("m,2024-01-01 00:01", "# broken\nm,2024-01-01 00:01");
    let bench = bench(text);
    assert!(run(&bench, &["source.csv.skip=2", "source.csv.comment='#'"]).0);
    assert_eq!((spoken(&bench), rejects(&bench).len()), (vec![1.0, 2.0, 3.0], 0));
}

/// Case 16: Latin-1 was refused; now it is read, and so is what PowerShell writes.
#[test]
fn other_characters_are_read_where_they_are_said_or_marked() {
    let bench =
        pipeline("in.csv", "id", "t", "tumbling: 1m, gaps: skip, select: { v: 'avg(\"temp (°C)\")' }", "v");
    let text = rows("id,t,temp (°C)\n", &["1", "2"], ',').replace("m,", "Köln,");
    bench.write("in.csv", text.chars().map(|letter| letter as u8).collect::<Vec<u8>>());
    assert!(!run(&bench, &[]).0);
    let (is_good, said) = run(&bench, &["source.csv.encoding=latin1"]);
    assert!(is_good, "{said}");
    assert_eq!(windows(&bench)[1], ("Köln".to_owned(), "2024-01-01T00:01:00Z".to_owned(), 2.0));

    bench.clear();
    let wide = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes);
    bench.write("in.csv", wide.collect::<Vec<u8>>());
    let (is_good, said) = run(&bench, &[]);
    assert!(is_good, "{said}");
    assert_eq!(windows(&bench).len(), 2);
}

/// Case 11: a word in a column that is not forecast took the whole record.
#[test]
fn a_word_for_no_value_is_null_and_a_cell_that_cannot_be_read_costs_only_itself() {
    let words = ["NA", "n/a", "NULL", "nan", "-", "?", "\\N", "", "12%", "warm", "1e999", "5", "5"];
    let line = |(n, word): (usize, &&str)| format!("m,2024-01-01T{n:02}:00:00Z,{n},\"{word}\"\n");
    let text = std::iter::once("id,t,v,w\n".to_owned()).chain(words.iter().enumerate().map(line));
    let select = "select: { v: sum(v), known: count(w) }";
    let bench = pipeline("in.csv", "id", "t", &format!("tumbling: 1h, gaps: skip, {select}"), "v");
    bench.write("in.csv", text.collect::<String>());
    let (is_good, said) = run(&bench, &[]);
    assert!(is_good && said.contains("3 of `w`") && said.contains("`12%` is no number"), "{said}");
    assert_eq!((spoken(&bench).len(), rejects(&bench)), (words.len(), Vec::new()));

    bench.clear();
    let (is_good, said) = run(&bench, &["forecast.target=known"]);
    assert!(is_good, "{said}");
    let refused: Vec<(i64, String)> =
        rejects(&bench).into_iter().map(|(at, reason, _)| (at, reason)).collect();
    let expected = [(8, "undecodable"), (9, "undecodable"), (10, "not_finite")];
    assert_eq!(refused, expected.map(|(at, reason)| (at, reason.to_owned())));
}

#[test]
fn words_of_the_pipeline_stand_for_no_value_in_texts_too() {
    let text = rows("id,t,v\n", &["1", "-999", "NA", "3"], ',');
    let bench = bench(text.clone());
    assert!(run(&bench, &["source.nulls=[-999, null, kaputt]"]).0);
    assert_eq!(rejects(&bench).len(), 1, "NA is no word for it any more");
    assert_eq!(spoken(&bench), [1.0, 1.0, 3.0], "the value before is carried where there is none");
}
