//! The picture hash of an SEI message against decoded samples.

mod common;

use bitstream::split_annex_b;
use hevc::picture_hash::{HashKind, PlaneHasher};
use hevc::sei::SeiPayload;
use hevc::{DecodedPictureBuffer, Parser, Unit};

#[test]
fn hashes_of_decoded_pictures_match() {
    let stream = common::read(&common::data().join("h_pic8x8_o.hevc"));
    // The pictures FFmpeg decodes, planar 4:2:0, in output order.
    let samples = common::read(&common::data().join("h_pic8x8_o.yuv"));
    let mut parser = Parser::new();
    let mut dpb = DecodedPictureBuffer::new();
    let (mut hashes, mut output) = (Vec::new(), Vec::new());
    for nal in split_annex_b(&stream) {
        match parser.parse(nal).expect("a valid stream") {
            Unit::Slice(slice) => {
                if let Some(picture) = slice.picture {
                    dpb.begin(&picture, &mut output);
                    dpb.insert(&picture, hashes.len(), &mut output);
                }
            }
            Unit::Sei { messages, suffix: true } => {
                hashes.extend(messages.into_iter().filter_map(|message| match message.payload {
                    SeiPayload::DecodedPictureHash(hash) => Some(hash),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    dpb.flush(&mut output);
    assert_eq!((hashes.len(), samples.len()), (output.len(), output.len() * 96));
    for (picture, output) in samples.chunks(96).zip(&output) {
        let hash = &hashes[output.payload];
        assert_eq!((hash.kind(), hash.planes.len()), (HashKind::Md5, 3));
        let planes = [(&picture[..64], 8), (&picture[64..80], 4), (&picture[80..], 4)];
        for ((plane, width), expected) in planes.into_iter().zip(&hash.planes) {
            let mut hasher = PlaneHasher::new(hash.kind(), 8);
            for row in plane.chunks(width) {
                hasher.row(&row.iter().map(|&sample| u16::from(sample)).collect::<Vec<_>>());
            }
            assert_eq!(hasher.finish(), *expected, "POC {}", output.poc);
        }
    }
}
