//! Palm veins: image, quality, template, score
