import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.X509EncodedKeySpec;
import java.time.Instant;
import java.util.Base64;
import java.util.regex.Pattern;
import javax.crypto.Cipher;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;

/**
 * Makes a chat2llm api_token: what tells chat2llm which of your users is asking. Java 8 or newer; from 11 on it runs as
 * it is:
 *
 * <pre>java ApiToken.java oa_public.pem oa zhangsan 张三</pre>
 *
 * <p>Runs on your own server only. Whoever has this "public" key can make a token for any of your users, so neither the
 * key nor this code goes into a page, an app or a repository that others read.
 */
public final class ApiToken {
    private static final int HASH_BYTES = 32;
    private static final Pattern UNWANTED = Pattern.compile("[|\\p{C}]");

    // Both hashes are named: with the name of the transformation alone, Java's own provider takes SHA-1 for MGF1.
    private static final OAEPParameterSpec OAEP_SHA256 =
            new OAEPParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, PSource.PSpecified.DEFAULT);

    private ApiToken() {}

    /**
     * Returns a token for this user that is made now.
     *
     * @throws IllegalArgumentException for what chat2llm would refuse
     */
    public static String make(RSAPublicKey key, String clientId, String userId, String username)
            throws GeneralSecurityException {
        if (!clientId.matches("[A-Za-z0-9_-]{1,32}")) {
            throw new IllegalArgumentException("client_id must be 1 to 32 letters, digits, _ or -");
        }
        int idBytes = userId.getBytes(StandardCharsets.UTF_8).length;
        if (idBytes < 1 || idBytes > 64 || UNWANTED.matcher(userId).find() || !userId.equals(userId.trim())) {
            throw new IllegalArgumentException(
                    "user_id must be 1 to 64 bytes, without |, invisible characters and spaces at its ends");
        }
        if (username.contains("|")) {
            throw new IllegalArgumentException("username must not contain |");
        }

        long seconds = Instant.now().getEpochSecond();
        byte[] plain = String.join("|", clientId, userId, username, Long.toString(seconds))
                .getBytes(StandardCharsets.UTF_8);
        int tooLong = plain.length - (key.getModulus().bitLength() / 8 - 2 * HASH_BYTES - 2);
        if (tooLong > 0) {
            throw new IllegalArgumentException(
                    tooLong + " bytes too long for this key: shorten the username or leave it empty");
        }

        Cipher cipher = Cipher.getInstance("RSA/ECB/OAEPPadding");
        cipher.init(Cipher.ENCRYPT_MODE, key, OAEP_SHA256);
        String inner = Base64.getEncoder().encodeToString(cipher.doFinal(plain));
        return Base64.getEncoder().encodeToString((clientId + "|" + inner).getBytes(StandardCharsets.US_ASCII));
    }

    /** Reads a PEM file ({@code BEGIN PUBLIC KEY}). */
    public static RSAPublicKey readPublicKey(Path file) throws IOException, GeneralSecurityException {
        String pem = new String(Files.readAllBytes(file), StandardCharsets.US_ASCII);
        byte[] der = Base64.getMimeDecoder().decode(pem.replaceAll("-----[^-]+-----", ""));
        return (RSAPublicKey) KeyFactory.getInstance("RSA").generatePublic(new X509EncodedKeySpec(der));
    }

    public static void main(String[] args) {
        if (args.length != 4) {
            System.err.println("usage: java ApiToken.java PUBLIC_PEM CLIENT_ID USER_ID USERNAME");
            System.exit(2);
        }
        try {
            System.out.println(make(readPublicKey(Paths.get(args[0])), args[1], args[2], args[3]));
        } catch (IllegalArgumentException | IOException | GeneralSecurityException error) {
            System.err.println(error.getMessage());
            System.exit(1);
        }
    }
}
