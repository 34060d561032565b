// Stub of the parts of Core Video that the app uses.
public final class CVBuffer {}
public typealias CVPixelBuffer = CVBuffer
public func CVPixelBufferGetWidth(_ b: CVPixelBuffer) -> Int { 0 }
public func CVPixelBufferGetHeight(_ b: CVPixelBuffer) -> Int { 0 }
