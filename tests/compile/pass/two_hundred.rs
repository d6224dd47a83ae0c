//! Two hundred messages, each with its handler, on one endpoint.
macro_rules! fleet {
    ($($name:ident $handler:ident),*) => {
        $(
            #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
            struct $name {
                n: u32,
            }
            #[wsx::handler(on = Station)]
            fn $handler(message: $name) {
                println!("{}", message.n);
            }
        )*
        wsx::protocol! {
            Fleet v1 { Edge -> Server: $($name),*; }
        }
    };
}

#[derive(wsx::Endpoint)]
#[wsx(side = Server)]
struct Station;

fleet! {
    M0 on_0, M1 on_1, M2 on_2, M3 on_3, M4 on_4, M5 on_5, M6 on_6, M7 on_7, M8 on_8, M9 on_9,
    M10 on_10, M11 on_11, M12 on_12, M13 on_13, M14 on_14, M15 on_15, M16 on_16, M17 on_17, M18 on_18, M19 on_19,
    M20 on_20, M21 on_21, M22 on_22, M23 on_23, M24 on_24, M25 on_25, M26 on_26, M27 on_27, M28 on_28, M29 on_29,
    M30 on_30, M31 on_31, M32 on_32, M33 on_33, M34 on_34, M35 on_35, M36 on_36, M37 on_37, M38 on_38, M39 on_39,
    M40 on_40, M41 on_41, M42 on_42, M43 on_43, M44 on_44, M45 on_45, M46 on_46, M47 on_47, M48 on_48, M49 on_49,
    M50 on_50, M51 on_51, M52 on_52, M53 on_53, M54 on_54, M55 on_55, M56 on_56, M57 on_57, M58 on_58, M59 on_59,
    M60 on_60, M61 on_61, M62 on_62, M63 on_63, M64 on_64, M65 on_65, M66 on_66, M67 on_67, M68 on_68, M69 on_69,
    M70 on_70, M71 on_71, M72 on_72, M73 on_73, M74 on_74, M75 on_75, M76 on_76, M77 on_77, M78 on_78, M79 on_79,
    M80 on_80, M81 on_81, M82 on_82, M83 on_83, M84 on_84, M85 on_85, M86 on_86, M87 on_87, M88 on_88, M89 on_89,
    M90 on_90, M91 on_91, M92 on_92, M93 on_93, M94 on_94, M95 on_95, M96 on_96, M97 on_97, M98 on_98, M99 on_99,
    M100 on_100, M101 on_101, M102 on_102, M103 on_103, M104 on_104, M105 on_105, M106 on_106, M107 on_107, M108 on_108, M109 on_109,
    M110 on_110, M111 on_111, M112 on_112, M113 on_113, M114 on_114, M115 on_115, M116 on_116, M117 on_117, M118 on_118, M119 on_119,
    M120 on_120, M121 on_121, M122 on_122, M123 on_123, M124 on_124, M125 on_125, M126 on_126, M127 on_127, M128 on_128, M129 on_129,
    M130 on_130, M131 on_131, M132 on_132, M133 on_133, M134 on_134, M135 on_135, M136 on_136, M137 on_137, M138 on_138, M139 on_139,
    M140 on_140, M141 on_141, M142 on_142, M143 on_143, M144 on_144, M145 on_145, M146 on_146, M147 on_147, M148 on_148, M149 on_149,
    M150 on_150, M151 on_151, M152 on_152, M153 on_153, M154 on_154, M155 on_155, M156 on_156, M157 on_157, M158 on_158, M159 on_159,
    M160 on_160, M161 on_161, M162 on_162, M163 on_163, M164 on_164, M165 on_165, M166 on_166, M167 on_167, M168 on_168, M169 on_169,
    M170 on_170, M171 on_171, M172 on_172, M173 on_173, M174 on_174, M175 on_175, M176 on_176, M177 on_177, M178 on_178, M179 on_179,
    M180 on_180, M181 on_181, M182 on_182, M183 on_183, M184 on_184, M185 on_185, M186 on_186, M187 on_187, M188 on_188, M189 on_189,
    M190 on_190, M191 on_191, M192 on_192, M193 on_193, M194 on_194, M195 on_195, M196 on_196, M197 on_197, M198 on_198, M199 on_199
}

fn main() {
    assert_eq!(wsx::Hub::builder().endpoint(Station).build().unwrap().handled_types().len(), 200);
}
