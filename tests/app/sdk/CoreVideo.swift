// Of Core Video, what the app calls.
public final class CVBuffer {}
public typealias CVPixelBuffer = CVBuffer
public func CVPixelBufferGetWidth(_ b: CVPixelBuffer) -> Int { 0 }
public func CVPixelBufferGetHeight(_ b: CVPixelBuffer) -> Int { 0 }
