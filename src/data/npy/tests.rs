use super::*;
use ndarray::{Array2, Array3};
use proptest::prelude::*;

fn file_with(header: &str, data: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn reason(header: &str, data: &[u8]) -> String {
    let (_dir, path) = file_with(header, data);
    read(&path, 1 << 30).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    let array = Array3::from_shape_fn((2, 3, 4), |(a, b, c)| (a * 100 + b * 10 + c) as f32);
    write_array(&path, array.view()).unwrap();
    let back = read(&path, 24).unwrap();
    assert_eq!(back.shape, [2, 3, 4]);
    assert_eq!(back.values, Values::F32(array.iter().copied().collect()));
    // A view whose axes were swapped is written in its own logical order.
    write_array(&path, array.view().reversed_axes()).unwrap();
    assert_eq!(read(&path, 24).unwrap().shape, [4, 3, 2]);
    assert!(read(&path, 23).is_err());
}

#[test]
fn values_start_at_a_multiple_of_64_bytes() {
    let dir = tempfile::tempdir().unwrap();
    for shape in [vec![], vec![1], vec![1, 1], vec![1; 9], vec![1; 17]] {
        let path = dir.path().join("a.npy");
        write(&path, &shape, &[7u8]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len() % 64, 1, "{shape:?}");
        assert_eq!(read(&path, 1).unwrap().shape, shape);
    }
}

#[test]
fn fortran_order_and_big_endian_are_put_right() {
    // [[1, 2, 3], [4, 5, 6]] stored column by column, high byte first.
    let data: Vec<u8> = [1u16, 4, 2, 5, 3, 6]
        .iter()
        .flat_map(|v| v.to_be_bytes())
        .collect();
    let (_dir, path) = file_with(
        "{'descr': '>u2', 'fortran_order': True, 'shape': (2, 3)}",
        &data,
    );
    let array = read(&path, 6).unwrap();
    assert_eq!(array.values, Values::U16(vec![1, 2, 3, 4, 5, 6]));
}

#[test]
fn a_claimed_shape_that_wraps_around_is_refused() {
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4), }";
    assert!(reason(header, b"").contains("larger than any memory"));
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999, 6), }";
    assert!(reason(header, b"12345678").contains("truncated"));
}

#[test]
fn odd_headers_are_refused_with_a_reason() {
    let cases = [
        (
            "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
            "pickle",
        ),
        (
            "{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}",
            "<i8",
        ),
        (
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
            "structured array",
        ),
        (
            "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}",
            "a length is expected",
        ),
        ("{'descr': '|u1', 'fortran_order': False}", "no \"shape\""),
        ("{'descr': '|u1', 'descr': '|u1'}", "twice"),
        (
            "{'descr': '|u1', 'fortran_order': 0, 'shape': (1,)}",
            "True or False",
        ),
        (
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)} x",
            "goes on",
        ),
        (
            "{'descr': 'é1', 'fortran_order': False, 'shape': (1,)}",
            "dtype",
        ),
        ("", "expected"),
    ];
    for (header, fragment) in cases {
        let reason = reason(header, b"1");
        assert!(reason.contains(fragment), "{header}: {reason}");
    }
    let good = "{\"shape\": (2L,), 'fortran_order': False, 'descr': '|u1'}";
    assert!(reason(good, b"123").contains("1 bytes follow"));
    let (_dir, path) = file_with(good, b"12");
    assert_eq!(read(&path, 2).unwrap().values, Values::U8(b"12".to_vec()));
}

proptest! {
    #[test]
    fn c_order_is_what_ndarray_makes_of_it(h in 1usize..6, w in 1usize..6) {
        let array = Array2::from_shape_fn((h, w), |(y, x)| y * 10 + x);
        let columns: Vec<usize> = array.t().iter().copied().collect();
        prop_assert_eq!(to_c_order(&columns, &[h, w]), array.iter().copied().collect::<Vec<_>>());
    }

    #[test]
    fn any_header_text_is_answered_without_a_panic(text in ".{0,80}") {
        let _ = parse(&text, Path::new("a.npy"));
    }
}
