import CoreGraphics
import RecognizerKit

/// Turns a sketch into what is on the screen and into the picture that the model sees: the same
/// lines on the same ground.
enum SketchRenderer {
    /// The pen's width, and the picture's side in pixels, which is more than small models need.
    static let penWidth = 0.08
    static let side = 256

    /// The stroke in a square of the side 1.
    static func path(of stroke: [CGPoint]) -> CGPath {
        let path = CGMutablePath()
        if let first = stroke.first {
            path.move(to: first)
            // A line from the first point to itself: a dot.
            for point in stroke {
                path.addLine(to: point)
            }
        }
        return path
    }

    /// How light the lines are; the ground is the opposite.
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
        // Core Graphics counts from the lower left corner, a sketch from the upper left.
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
