//! The charts, as SVG and as PNG.
