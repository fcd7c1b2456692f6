//! The scores table as `scores.csv`, `scores.jsonl` or `scores.parquet`.
//!
//! Cells are written verbatim, also an id that starts with `=`, `+`, `-` or
//! `@`: the table is for machines first, and an id that was changed finds no
//! piece. Who opens it in a spreadsheet imports the id column as text.
//! Numbers are the shortest that read back to the same f64, so the same
//! results are the same bytes.

use crate::error::{Error, Result};
use crate::report::scores::{Cell, Columns, ScoreRow, column_names};
use std::io::Write;

/// The format of the scores table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Comma-separated values with a header (RFC 4180, UTF-8, `\n`).
    #[default]
    Csv,
    /// One JSON object a line, with a key for every column; empty is `null`,
    /// an empty message `""`.
    Jsonl,
    /// Apache Parquet; numbers as DOUBLE, words as UTF-8, empty is null.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Format {
    /// The format called `csv`, `jsonl` or `parquet`.
    ///
    /// # Errors
    /// [`Error::Setting`] for another name, or one this build leaves out.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "csv" => Ok(Self::Csv),
            "jsonl" => Ok(Self::Jsonl),
            #[cfg(feature = "parquet")]
            "parquet" => Ok(Self::Parquet),
            #[cfg(not(feature = "parquet"))]
            "parquet" => Err(
                Error::setting("format", "this goma was built without parquet")
                    .help("build it with --features parquet, or choose csv or jsonl"),
            ),
            _ => Err(Error::setting(
                "format",
                format!("{name} found; csv, jsonl or parquet expected"),
            )),
        }
    }

    /// `csv`, `jsonl` or `parquet`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            #[cfg(feature = "parquet")]
            Self::Parquet => "parquet",
        }
    }

    /// The table's file name, `scores.csv` for [`Format::Csv`].
    #[must_use]
    pub fn file_name(self) -> String {
        format!("scores.{}", self.name())
    }

    /// Writes the whole table, one row at a time.
    ///
    /// # Errors
    /// The first error of `rows`, of [`ScoreRow::cells`], or of `out`.
    pub fn write(
        self,
        out: impl Write + Send,
        columns: &Columns,
        rows: impl Iterator<Item = Result<ScoreRow>>,
    ) -> Result<()> {
        match self {
            Self::Csv => write_csv(out, columns, rows),
            Self::Jsonl => write_jsonl(out, columns, rows),
            #[cfg(feature = "parquet")]
            Self::Parquet => super::table_parquet::write(out, columns, rows),
        }
    }
}

fn write_csv(
    out: impl Write,
    columns: &Columns,
    rows: impl Iterator<Item = Result<ScoreRow>>,
) -> Result<()> {
    let failed = |e: csv::Error| Error::io("write", "scores.csv")(std::io::Error::other(e));
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(column_names(columns)).map_err(failed)?;
    for row in rows {
        let row = row?;
        for cell in row.cells(columns)? {
            match cell {
                Cell::Empty => csv.write_field(""),
                Cell::Text(text) => csv.write_field(text),
                Cell::Number(v) => csv.write_field(shortest(v)),
            }
            .map_err(failed)?;
        }
        csv.write_record(None::<&[u8]>).map_err(failed)?;
    }
    csv.flush().map_err(Error::io("write", "scores.csv"))
}

fn write_jsonl(
    mut out: impl Write,
    columns: &Columns,
    rows: impl Iterator<Item = Result<ScoreRow>>,
) -> Result<()> {
    let failed = |e| Error::io("write", "scores.jsonl")(e);
    let names: Vec<String> = column_names(columns)
        .iter()
        .map(|n| serde_json::Value::from(n.as_str()).to_string())
        .collect();
    for row in rows {
        let row = row?;
        // serde_json's own maps sort their keys; ours stay in the table's order.
        let fields: Vec<String> = row
            .cells(columns)?
            .into_iter()
            .zip(&names)
            .map(|(cell, name)| {
                let value = match cell {
                    Cell::Empty => serde_json::Value::Null,
                    Cell::Text(text) => text.into(),
                    Cell::Number(v) => v.into(),
                };
                format!("{name}:{value}")
            })
            .collect();
        writeln!(out, "{{{}}}", fields.join(",")).map_err(failed)?;
    }
    out.flush().map_err(failed)
}

/// The shortest decimal that reads back to the same f64 (`0.5`, `1e-7`).
fn shortest(value: f64) -> String {
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::prediction::Verdict;
    use crate::report::scores::{RowOutcome, Scored};

    fn rows() -> Vec<ScoreRow> {
        let scored = Scored {
            decision: Verdict::Pass,
            class: Some("good".into()),
            p_defect: Some(1e-7),
            anomaly_score: Some(0.1 + 0.2),
            threshold: 0.5,
            probabilities: vec![0.75, 0.25],
            heatmap: Some("heatmaps/a.png".into()),
            message: String::new(),
            beside: None,
            offset: None,
        };
        vec![
            ScoreRow {
                id: "=1+1".into(),
                path: "a,\"b\".png".into(),
                outcome: RowOutcome::Ok(scored),
                regions: None,
            },
            ScoreRow {
                id: "é\n2".into(),
                path: "b.png".into(),
                outcome: RowOutcome::Error("cut short".into()),
                regions: None,
            },
        ]
    }

    fn written(format: Format) -> String {
        let columns = vec!["good".to_string(), "print".to_string()].into();
        let mut out = Vec::new();
        format
            .write(&mut out, &columns, rows().into_iter().map(Ok))
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn csv_keeps_ids_verbatim_and_numbers_exact() {
        assert_eq!(
            written(Format::Csv),
            "id,path,status,decision,class,p_defect,anomaly_score,threshold,heatmap,message,\
             p_good,p_print\n\
             =1+1,\"a,\"\"b\"\".png\",ok,pass,good,1e-7,0.30000000000000004,0.5,heatmaps/a.png,,\
             0.75,0.25\n\
             \"é\n2\",b.png,error,,,,,,,cut short,,\n"
        );
    }

    #[test]
    fn jsonl_has_every_column_in_order_on_one_line_a_row() {
        let text = written(Format::Jsonl);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "{\"id\":\"é\\n2\",\"path\":\"b.png\",\"status\":\"error\",\"decision\":null,\
             \"class\":null,\"p_defect\":null,\"anomaly_score\":null,\"threshold\":null,\
             \"heatmap\":null,\"message\":\"cut short\",\"p_good\":null,\"p_print\":null}"
        );
        let first: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(first["anomaly_score"].as_f64(), Some(0.1 + 0.2));
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn an_unknown_format_is_refused_by_name() {
        assert!(Format::from_name("xlsx").is_err());
        assert_eq!(
            Format::from_name("jsonl").unwrap().file_name(),
            "scores.jsonl"
        );
    }
}
