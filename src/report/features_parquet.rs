//! Feature tables as parquet: `id` as text, each feature a 32-bit float
//! column.

use crate::error::{Error, Result};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use std::io::Write;
use std::sync::Arc;

/// Rows of one row group.
const GROUP: usize = 4096;

/// Writes ids and values `[ids, features]`.
pub(super) fn write(
    out: impl Write + Send,
    ids: &[String],
    values: &[f32],
    features: usize,
) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("goma {}", env!("CARGO_PKG_VERSION")))
        .build();
    let mut file = SerializedFileWriter::new(out, Arc::new(schema(features)?), properties.into())
        .map_err(failed)?;
    for (ids, values) in ids.chunks(GROUP).zip(values.chunks(GROUP * features)) {
        let mut group = file.next_row_group().map_err(failed)?;
        let mut index = 0;
        while let Some(mut column) = group.next_column().map_err(failed)? {
            if index == 0 {
                let ids: Vec<ByteArray> = ids.iter().map(|id| id.as_str().into()).collect();
                let column = column.typed::<ByteArrayType>();
                column.write_batch(&ids, None, None).map_err(failed)?;
            } else {
                let of = values.iter().skip(index - 1).step_by(features);
                let of: Vec<f32> = of.copied().collect();
                let column = column.typed::<FloatType>();
                column.write_batch(&of, None, None).map_err(failed)?;
            }
            column.close().map_err(failed)?;
            index += 1;
        }
        group.close().map_err(failed)?;
    }
    file.close().map_err(failed)?;
    Ok(())
}

fn schema(features: usize) -> Result<Type> {
    let id = Type::primitive_type_builder("id", Physical::BYTE_ARRAY)
        .with_logical_type(Some(LogicalType::String))
        .with_repetition(Repetition::REQUIRED)
        .build();
    let numbers = (0..features).map(|i| {
        Type::primitive_type_builder(&format!("f{i}"), Physical::FLOAT)
            .with_repetition(Repetition::REQUIRED)
            .build()
    });
    let fields = std::iter::once(id)
        .chain(numbers)
        .map(|field| field.map(Arc::new).map_err(failed))
        .collect::<Result<Vec<_>>>()?;
    Type::group_type_builder("features")
        .with_fields(fields)
        .build()
        .map_err(failed)
}

fn failed(e: parquet::errors::ParquetError) -> Error {
    Error::data(format!("cannot write parquet: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    #[test]
    fn ids_and_features_are_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.parquet");
        let file = std::fs::File::create(&path).unwrap();
        write(file, &["a".into(), "b".into()], &[1.0, 2.0, 3.0, 4.0], 2).unwrap();
        let reader = SerializedFileReader::try_from(path.as_path()).unwrap();
        let rows: Vec<_> = reader
            .get_row_iter(None)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(rows[1].get_string(0).unwrap(), "b");
        assert_eq!(rows[1].get_float(2).unwrap(), 4.0);
    }
}
