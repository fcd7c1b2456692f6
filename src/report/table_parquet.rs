//! `scores.parquet`: the same columns; row groups of bounded size, so that
//! memory does not grow with the table.

use crate::error::{Error, Result};
use crate::report::scores::{COLUMNS, Cell, Columns, ScoreRow, column_names};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use std::io::Write;
use std::sync::Arc;

/// Rows of one row group.
const GROUP: usize = 4096;
/// The fixed columns that hold numbers; those of the classes follow [`COLUMNS`].
const NUMBERS: [&str; 3] = ["p_defect", "anomaly_score", "threshold"];

/// Writes the whole table.
///
/// # Errors
/// The first error of `rows`, of [`ScoreRow::cells`], or of `out`.
pub fn write(
    out: impl Write + Send,
    columns: &Columns,
    mut rows: impl Iterator<Item = Result<ScoreRow>>,
) -> Result<()> {
    let names = column_names(columns);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("goma {}", env!("CARGO_PKG_VERSION")))
        .build();
    let mut file = SerializedFileWriter::new(out, Arc::new(schema(&names)?), Arc::new(properties))
        .map_err(failed)?;
    loop {
        let group: Vec<ScoreRow> = rows.by_ref().take(GROUP).collect::<Result<_>>()?;
        if group.is_empty() {
            break;
        }
        write_group(&mut file, &group, columns, &names)?;
    }
    file.close().map_err(failed)?;
    Ok(())
}

fn is_number(column: usize, name: &str) -> bool {
    let words = ["beside_decision", "beside_class"];
    (column >= COLUMNS.len() && !words.contains(&name)) || NUMBERS.contains(&name)
}

fn schema(names: &[String]) -> Result<Type> {
    let fields = names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let field = if is_number(i, name) {
                Type::primitive_type_builder(name, Physical::DOUBLE)
            } else {
                Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
                    .with_logical_type(Some(LogicalType::String))
            };
            let field = field.with_repetition(Repetition::OPTIONAL).build();
            field.map(Arc::new).map_err(failed)
        })
        .collect::<Result<Vec<_>>>()?;
    Type::group_type_builder("scores")
        .with_fields(fields)
        .build()
        .map_err(failed)
}

fn write_group(
    file: &mut SerializedFileWriter<impl Write + Send>,
    rows: &[ScoreRow],
    columns: &Columns,
    names: &[String],
) -> Result<()> {
    let table: Vec<Vec<Cell>> = rows
        .iter()
        .map(|r| r.cells(columns))
        .collect::<Result<_>>()?;
    let mut group = file.next_row_group().map_err(failed)?;
    for (i, name) in names.iter().enumerate() {
        let cells = table.iter().map(|row| row[i]);
        // Definition level 1 says that a value is there.
        let there: Vec<i16> = cells.clone().map(|c| i16::from(c != Cell::Empty)).collect();
        let mut column = group
            .next_column()
            .map_err(failed)?
            .ok_or_else(|| Error::data("the parquet writer lost a column"))?;
        if is_number(i, name) {
            let values: Vec<f64> = cells
                .filter_map(|c| {
                    if let Cell::Number(v) = c {
                        Some(v)
                    } else {
                        None
                    }
                })
                .collect();
            column
                .typed::<DoubleType>()
                .write_batch(&values, Some(&there), None)
        } else {
            let values: Vec<ByteArray> = cells
                .filter_map(|c| {
                    if let Cell::Text(t) = c {
                        Some(t.into())
                    } else {
                        None
                    }
                })
                .collect();
            column
                .typed::<ByteArrayType>()
                .write_batch(&values, Some(&there), None)
        }
        .map_err(failed)?;
        column.close().map_err(failed)?;
    }
    group.close().map_err(failed)?;
    Ok(())
}

fn failed(e: parquet::errors::ParquetError) -> Error {
    Error::io("write", "scores.parquet")(std::io::Error::other(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::prediction::{Decision, Verdict};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use std::path::Path;

    #[test]
    fn what_is_written_is_read_back_over_several_row_groups() {
        let decision = Decision {
            verdict: Verdict::Review,
            score: 0.5,
            threshold: 0.5,
        };
        let rows = (0..GROUP + 3).map(|i| {
            let path = Path::new("p.png");
            Ok(if i == 5 {
                ScoreRow::unreadable("5", path, &Error::data("cut short"))
            } else {
                ScoreRow::scored(&i.to_string(), path, &decision, None, Some(i as f64 / 8.0))
            })
        });
        let mut out = Vec::new();
        write(&mut out, &vec!["good".to_string()].into(), rows).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scores.parquet");
        std::fs::write(&path, out).unwrap();
        let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
        assert_eq!(reader.num_row_groups(), 2);
        let lines: Vec<String> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|r| r.unwrap().to_string())
            .collect();
        assert_eq!(lines.len(), GROUP + 3);
        assert!(lines[5].contains("message: \"cut short\"") && lines[5].contains("decision: null"));
        assert!(lines[6].contains("anomaly_score: 0.75"), "{}", lines[6]);
    }
}
