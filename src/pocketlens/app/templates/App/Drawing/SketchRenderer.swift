import CoreGraphics
import RecognizerKit

/// Renders a sketch, on the screen and as the image for the model, with the same lines and colors.
enum SketchRenderer {
    /// The width of the lines, relative to the canvas.
    static let penWidth = 0.08
    /// The width and height of the image, in pixels: larger than the input of small models.
    static let side = 256

    /// The path of a stroke, in the unit square.
    static func path(of stroke: [CGPoint]) -> CGPath {
        let path = CGMutablePath()
        if let first = stroke.first {
            path.move(to: first)
            // Starts with a line from the first point to itself, so that a tap draws a dot.
            for point in stroke {
                path.addLine(to: point)
            }
        }
        return path
    }

    /// The brightness of the lines, 0 or 1; the background has the opposite one.
    static func brightness(of ink: Ink) -> Double {
        switch ink {
        case .dark: 0
        case .light: 1
        }
    }

    static func picture(of sketch: Sketch, ink: Ink) throws -> Picture {
        guard
            let context = CGContext(
                data: nil, width: side, height: side, bitsPerComponent: 8, bytesPerRow: 0,
                space: CGColorSpaceCreateDeviceGray(), bitmapInfo: CGImageAlphaInfo.none.rawValue
            )
        else {
            throw RecognizerError.unreadablePicture
        }
        // The origin of Core Graphics is the lower left corner, that of a sketch the upper left.
        context.translateBy(x: 0, y: CGFloat(side))
        context.scaleBy(x: CGFloat(side), y: -CGFloat(side))
        context.setFillColor(gray: 1 - brightness(of: ink), alpha: 1)
        context.fill(CGRect(x: 0, y: 0, width: 1, height: 1))
        context.setStrokeColor(gray: brightness(of: ink), alpha: 1)
        context.setLineWidth(penWidth)
        context.setLineCap(.round)
        context.setLineJoin(.round)
        for stroke in sketch.strokes {
            context.addPath(path(of: stroke))
            context.strokePath()
        }
        guard let image = context.makeImage() else {
            throw RecognizerError.unreadablePicture
        }
        return Picture(image: image)
    }
}
