//! Avro object container files, by hand. The file must not know tickcast.

use std::io::Write;

const MARK: &[u8; 16] = b"sixteen bytes ok";

fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn bytes(of: &[u8], out: &mut Vec<u8>) {
    long(of.len() as i64, out);
    out.extend(of);
}

/// A file of these objects, so many a block; `codec`: null, deflate or zstandard.
pub fn avro_file(schema: &str, codec: &str, objects: &[Vec<u8>], a_block: usize) -> Vec<u8> {
    let mut out = b"Obj\x01".to_vec();
    long(2, &mut out);
    for (name, value) in [("avro.schema", schema), ("avro.codec", codec)] {
        bytes(name.as_bytes(), &mut out);
        bytes(value.as_bytes(), &mut out);
    }
    long(0, &mut out);
    out.extend(MARK);
    for block in objects.chunks(a_block) {
        long(block.len() as i64, &mut out);
        bytes(&packed(&block.concat(), codec), &mut out);
        out.extend(MARK);
    }
    out
}

fn packed(of: &[u8], codec: &str) -> Vec<u8> {
    match codec {
        "deflate" => {
            let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(of).unwrap();
            writer.finish().unwrap()
        }
        "zstandard" => zstd::encode_all(of, 1).unwrap(),
        _ => of.to_vec(),
    }
}
