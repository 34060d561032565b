import CoreGraphics
import Foundation
import ImageIO

/// A still picture, upright.
struct Picture: @unchecked Sendable {
    // Safe to pass on: nothing can change a `CGImage`.
    let image: CGImage

    var size: CGSize {
        CGSize(width: image.width, height: image.height)
    }
}

extension Picture {
    /// More than any small network needs, and little enough to be held twice.
    static let longestSide = 1280

    /// Decodes the contents of a picture file, turned upright as the file says. A large one is
    /// decoded at a smaller size, so that no photo is too large for the memory.
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
