//! Any bytes as a picture of any size: the decoder never panics and takes no more than is there; what it took, the encoder says again in a
//! stream that is no longer.

#![no_main]

use biometric::hid::decode_med_rice;
use libfuzzer_sys::fuzz_target;
use sim_palm_sensor::encode_med_rice;

fuzz_target!(|bytes: &[u8]| {
    let Some(([width, height], stream)) = bytes.split_first_chunk::<2>() else { return };
    let (width, height) = (usize::from(*width), usize::from(*height));
    if let Ok(pixels) = decode_med_rice(stream, width, height) {
        assert_eq!(pixels.len(), width * height);
        let encoded = encode_med_rice(&pixels, width);
        assert!(encoded.len() <= stream.len(), "{} bytes became {}", stream.len(), encoded.len());
        assert_eq!(*decode_med_rice(&encoded, width, height).unwrap(), *pixels);
        assert!(decode_med_rice(&stream[..stream.len() - 1], width, height).is_err());
    }
    // Sizes that no memory holds.
    assert!(decode_med_rice(stream, usize::MAX, height + 2).is_err());
});
