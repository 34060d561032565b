import CoreGraphics
import Foundation
import ImageIO

/// An upright still image.
struct Picture: @unchecked Sendable {
    // Safe to send: a `CGImage` is immutable.
    let image: CGImage

    var size: CGSize {
        CGSize(width: image.width, height: image.height)
    }
}

extension Picture {
    /// Larger than the input of small models, and small enough to keep two images in memory.
    static let longestSide = 1280

    /// Decodes the contents of an image file and applies its orientation. Large images are decoded
    /// at a smaller size, to limit the memory use.
    init(fileContents: Data) throws {
        let options: [CFString: Any] = [
            kCGImageSourceCreateThumbnailFromImageAlways: true,
            kCGImageSourceCreateThumbnailWithTransform: true,
            kCGImageSourceThumbnailMaxPixelSize: Self.longestSide,
        ]
        guard let source = CGImageSourceCreateWithData(fileContents as CFData, nil),
            let image = CGImageSourceCreateThumbnailAtIndex(source, 0, options as CFDictionary)
        else {
            throw RecognizerError.unreadablePicture
        }
        self.init(image: image)
    }
}
