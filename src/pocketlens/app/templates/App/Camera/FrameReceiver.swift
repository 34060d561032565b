import AVFoundation

/// Hands each camera frame to a stream that keeps only the newest, so frames never pile up.
///
/// The camera calls it on a queue of its own, so it belongs to no actor.
final class FrameReceiver: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, Sendable {
    private let frames: AsyncStream<Frame>.Continuation

    init(frames: AsyncStream<Frame>.Continuation) {
        self.frames = frames
    }

    func captureOutput(
        _ output: AVCaptureOutput,
        didOutput sampleBuffer: CMSampleBuffer,
        from connection: AVCaptureConnection
    ) {
        if let pixelBuffer = sampleBuffer.imageBuffer {
            frames.yield(Frame(pixelBuffer: pixelBuffer))
        }
    }
}
