import SwiftUI

/// The ways in: camera, finger, photo. All three ask the same recognizer.
struct RootScreen: View {
    let model: AppModel
    // Kept from one start to the next; a test sets it by a launch argument of this name.
    @AppStorage("way") private var way = Way.camera
    @Environment(\.scenePhase) private var scenePhase

    /// Also on coming back, perhaps from the Settings with a permission.
    private var needsCamera: Bool {
        way == .camera && scenePhase == .active
    }

    var body: some View {
        switch model.ways {
        case .success(let ways):
            TabView(selection: $way) {
                Tab("Camera", systemImage: "camera", value: Way.camera) {
                    CameraScreen(model: ways.camera) { way = .drawing }
                }
                Tab("Draw", systemImage: "pencil.tip", value: Way.drawing) {
                    DrawingScreen(model: ways.drawing)
                }
                Tab("Photo", systemImage: "photo", value: Way.photo) {
                    PhotoScreen(model: ways.photo)
                }
            }
            .task(id: needsCamera) {
                if needsCamera {
                    await ways.camera.start()
                } else {
                    await ways.camera.stop()
                }
            }
        case .failure(let error):
            ContentUnavailableView(
                "Nothing can be recognized",
                systemImage: "exclamationmark.triangle",
                description: Text(verbatim: error.localizedDescription)
            )
        }
    }
}

enum Way: String {
    case camera, drawing, photo
}

/// What the whole app shares.
@MainActor
final class AppModel {
    struct Ways {
        let camera: CameraModel
        let drawing: DrawingModel
        let photo: PhotoModel
    }

    let ways: Result<Ways, any Error>

    init() {
        ways = Result {
            let recognizer = try Recognizer(bundle: .main)
            return Ways(
                camera: CameraModel(recognizer: recognizer),
                drawing: DrawingModel(recognizer: recognizer),
                photo: PhotoModel(recognizer: recognizer)
            )
        }
    }
}
