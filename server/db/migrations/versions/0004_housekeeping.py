"""housekeeping: when the demo's visitors were last seen, and whose a message is

Revision: 0004
After: 0003
"""

import server.db.base
import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Never as a batch, see 0002.
    op.add_column('user', sa.Column('seen_at', server.db.base.UTCDateTime(), nullable=True))
    op.create_index('ix_message_client_id_user_id', 'message', ['client_id', 'user_id'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_message_client_id_user_id', table_name='message')
    op.drop_column('user', 'seen_at')
