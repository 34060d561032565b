import AVFoundation

/// Passes each camera frame to a stream that buffers only the newest, so frames do not queue up.
///
/// The camera calls it on its own queue, so it is not isolated to an actor.
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
