// Stub of the parts of Core Graphics that the app uses.
@_exported import Foundation
public final class CGImage { public var width: Int { 0 }; public var height: Int { 0 } }
public final class CGColorSpace {}
public func CGColorSpaceCreateDeviceGray() -> CGColorSpace { CGColorSpace() }
public enum CGImageAlphaInfo: UInt32 { case none }
public class CGPath {}
public final class CGMutablePath: CGPath { public override init() {}; public func move(to: CGPoint) {}; public func addLine(to: CGPoint) {} }
public enum CGLineCap { case round }
public enum CGLineJoin { case round }
public final class CGContext {
    public init?(data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int, space: CGColorSpace, bitmapInfo: UInt32) {}
    public func translateBy(x: CGFloat, y: CGFloat) {}
    public func scaleBy(x: CGFloat, y: CGFloat) {}
    public func setFillColor(gray: CGFloat, alpha: CGFloat) {}
    public func setStrokeColor(gray: CGFloat, alpha: CGFloat) {}
    public func fill(_ r: CGRect) {}
    public func setLineWidth(_ w: CGFloat) {}
    public func setLineCap(_ c: CGLineCap) {}
    public func setLineJoin(_ c: CGLineJoin) {}
    public func addPath(_ p: CGPath) {}
    public func strokePath() {}
    public func makeImage() -> CGImage? { nil }
}
public final class CFString: Hashable, @unchecked Sendable { public static func == (a: CFString, b: CFString) -> Bool { true }; public func hash(into h: inout Hasher) {}; init() {} }
public final class CFData {}
public final class CFDictionary {}
public extension CFData { static func of(_ data: Data) -> CFData { CFData() } }
public extension CFDictionary { static func of(_ values: [CFString: Any]) -> CFDictionary { CFDictionary() } }
public extension CFString { static func make() -> CFString { CFString() } }
