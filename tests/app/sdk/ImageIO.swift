// Stub of the parts of ImageIO that the app uses.
import CoreGraphics
public final class CGImageSource {}
public let kCGImageSourceCreateThumbnailFromImageAlways = CFString.make()
public let kCGImageSourceCreateThumbnailWithTransform = CFString.make()
public let kCGImageSourceThumbnailMaxPixelSize = CFString.make()
public func CGImageSourceCreateWithData(_ d: CFData, _ o: CFDictionary?) -> CGImageSource? { nil }
public func CGImageSourceCreateThumbnailAtIndex(_ s: CGImageSource, _ i: Int, _ o: CFDictionary?) -> CGImage? { nil }
