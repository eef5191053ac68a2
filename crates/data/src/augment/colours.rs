//! Changes of a picture's values: brightness and the like, as torchvision has them on tensors of bytes, to the bit.
//!
//! Results are computed in single precision and cut, not rounded, to a byte. What makes of a value what it would make of it anywhere in
//! the picture is looked up in a table.

/// The picture's colours mixed with black; a factor of 1 leaves them.
pub(crate) fn brightness(pixels: &mut [u8], factor: f64) {
    map(pixels, &[table(|value| blend(value, 0.0, factor)); 3]);
}

/// Mixed with the picture's mean grey.
pub(crate) fn contrast(pixels: &mut [u8], factor: f64) {
    let pixels_in_all = pixels.len() / 3;
    let sum: u64 = pixels.as_chunks::<3>().0.iter().map(|pixel| u64::from(grey(*pixel))).sum();
    let mean = sum as f32 / pixels_in_all as f32;
    map(pixels, &[table(|value| blend(value, mean, factor)); 3]);
}

/// Each pixel mixed with its grey.
pub(crate) fn saturation(pixels: &mut [u8], factor: f64) {
    let (own, other) = (factor as f32, (1.0 - factor) as f32);
    for pixel in pixels.as_chunks_mut::<3>().0 {
        let grey = other * f32::from(grey(*pixel));
        *pixel = pixel.map(|value| (own * f32::from(value) + grey) as u8);
    }
}

/// Mixed with the picture smoothed: nine pixels' mean, in which the middle one counts five times. The outermost pixels are not smoothed.
/// Pictures of `[height, width]` less than 3 stay as they are. `from` is room for a copy.
pub(crate) fn sharpness(pixels: &mut [u8], from: &mut Vec<u8>, factor: f64, (height, width): (usize, usize)) {
    if height < 3 || width < 3 {
        return;
    }
    from.clear();
    from.extend_from_slice(pixels);
    // Also a pixel mixed with itself may lose its last step, as it does in torchvision.
    map(pixels, &[table(|value| blend(value, f32::from(value), factor)); 3]);
    let line = width * 3;
    let (own, other) = (factor as f32, (1.0 - factor) as f32);
    for y in 1..height - 1 {
        let [above, middle, below] = [y - 1, y, y + 1].map(|y| &from[y * line..][..line]);
        let out = &mut pixels[y * line..][..line];
        for x in 3..line - 3 {
            let column = |x: usize| u32::from(above[x]) + u32::from(middle[x]) + u32::from(below[x]);
            let sum = column(x - 3) + column(x) + column(x + 3) + 4 * u32::from(middle[x]);
            let smooth = (2 * sum + 13) / 26; // The nearest; 13 is odd, so there are no ties.
            out[x] = (own * f32::from(middle[x]) + other * smooth as f32) as u8;
        }
    }
}

/// Keeps the highest `bits`, 0 to 8, of each value.
pub(crate) fn posterize(pixels: &mut [u8], bits: u8) {
    let mask = !(0xff_u32 >> bits) as u8;
    map(pixels, &[table(|value| value & mask); 3]);
}

/// Inverts the values of at least `threshold`.
pub(crate) fn solarize(pixels: &mut [u8], threshold: f32) {
    map(pixels, &[table(|value| if f32::from(value) >= threshold { 255 - value } else { value }); 3]);
}

/// Stretches each channel's values to 0..=255. A channel of one value stays as it is.
pub(crate) fn autocontrast(pixels: &mut [u8]) {
    let (mut least, mut most) = ([u8::MAX; 3], [0; 3]);
    for pixel in pixels.as_chunks::<3>().0 {
        for channel in 0..3 {
            least[channel] = least[channel].min(pixel[channel]);
            most[channel] = most[channel].max(pixel[channel]);
        }
    }
    let stretched = [0, 1, 2].map(|channel| {
        let (least, most) = (f32::from(least[channel]), f32::from(most[channel]));
        // As a product with the reciprocal, which is how PyTorch divides a number by a tensor.
        let scale = 1.0 / (most - least) * 255.0;
        table(|value| if scale.is_finite() { ((f32::from(value) - least) * scale) as u8 } else { value })
    });
    map(pixels, &stretched);
}

/// Gives each channel's values about equal shares of the pixels, as Pillow's `ImageOps.equalize` does.
pub(crate) fn equalize(pixels: &mut [u8]) {
    let mut counts = [[0u32; 256]; 3];
    for pixel in pixels.as_chunks::<3>().0 {
        for (counts, value) in counts.iter_mut().zip(pixel) {
            counts[usize::from(*value)] += 1;
        }
    }
    let pixels_in_all = (pixels.len() / 3) as u32;
    let equal = counts.map(|counts| {
        let last = counts.iter().rev().find(|count| **count > 0).copied().unwrap_or_default();
        let step = (pixels_in_all - last) / 255;
        let mut below = 0;
        table(|value| {
            let before = below;
            below += counts[usize::from(value)];
            (before + step / 2).checked_div(step).map_or(value, |share| share.min(255) as u8)
        })
    });
    map(pixels, &equal);
}

/// The luma of a pixel, cut to a byte.
#[inline(always)]
fn grey([red, green, blue]: [u8; 3]) -> u8 {
    (0.2989 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)) as u8
}

/// `factor` of a value and the rest of another; casts keep it in 0..=255.
fn blend(value: u8, other: f32, factor: f64) -> u8 {
    (factor as f32 * f32::from(value) + (1.0 - factor) as f32 * other) as u8
}

/// What becomes of each value, called from 0 to 255.
fn table(of: impl FnMut(u8) -> u8) -> [u8; 256] {
    let mut table = [0; 256];
    for (place, value) in table.iter_mut().zip((0..=u8::MAX).map(of)) {
        *place = value;
    }
    table
}

/// Looks up each channel in its table.
fn map(pixels: &mut [u8], tables: &[[u8; 256]; 3]) {
    for pixel in pixels.as_chunks_mut::<3>().0 {
        for (value, table) in pixel.iter_mut().zip(tables) {
            *value = table[usize::from(*value)];
        }
    }
}
